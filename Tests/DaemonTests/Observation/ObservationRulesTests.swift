import AWS
import Basics
import ControlCodec
import ControlProtocol
import Failures
import Glibc
import InstanceConnect
import SocketIO
import TestSupport
import Testing

@testable import Daemon
@testable import Tunnels

/// What clients, the log and the metrics are told.
@Suite struct ObservationRulesTests {
    private let time = Timestamp(milliseconds: 1_772_357_400_250)

    // MARK: The log

    private func logged(_ kind: ControlEvent.Kind, _ change: (inout ControlEvent) -> Void = { _ in }) -> [String] {
        let log = LogRecorder()
        var event = ControlEvent(kind, at: time)
        change(&event)
        EventLog.note(event, log.logger)
        return log.lines
    }

    @Test("events that nobody else logs have an entry each")
    func entries() {
        let tunnel = TunnelInfo(id: "t7", target: "i-1", remotePort: 22, state: .open, since: time, peer: "p")
        #expect(
            logged(.tunnelExpiring) {
                $0.tunnel = tunnel
                $0.expiresIn = 300
            } == [
                "info the tunnel ends in 5m endpoint=- event=tunnel-expiring forward=- target=i-1:22 tunnel=t7"
            ])
        #expect(
            logged(.endpointFull) {
                $0.endpoint = EndpointInfo(
                    id: "eice-1", dnsName: "d", region: "r", slots: .init(inUse: 3, cap: 4), queued: 1)
            } == [
                "notice no slot is free, connections wait: 3 of 4 are in use endpoint=eice-1 event=endpoint-full region=r"
            ])
        #expect(
            logged(.loginNeeded) { $0.login = NeededLogin(profile: "dev", command: "aws sso login") }
                == ["warning a log-in is needed: aws sso login event=login-needed profile=dev"])
        #expect(
            logged(.loginNeeded) { $0.login = NeededLogin(command: "aws sso login") }
                == ["warning a log-in is needed: aws sso login event=login-needed profile=-"])
        #expect(logged(.tunnelClosed) { $0.tunnel = tunnel }.isEmpty)
        for kind in [ControlEvent.Kind.tunnelExpiring, .endpointFull, .loginNeeded] { #expect(logged(kind).isEmpty) }
    }

    // MARK: Metrics

    @Test("a length of time counts in the first bucket whose bound it does not exceed")
    func histogram() {
        var histogram = Histogram()
        for milliseconds in [0, 1, 2, 25_000, 25_001] { histogram.add(.milliseconds(milliseconds)) }
        #expect(histogram.counts.first == 2 && histogram.counts.dropFirst().first == 1)
        #expect(histogram.counts.last == 1 && histogram.counts.reduce(0, +) == 4)
        #expect(histogram.count == 5 && (histogram.sum - 50.004).magnitude < 0.000_001)
        #expect(Histogram.bounds == Histogram.bounds.sorted() && histogram.counts.count == Histogram.bounds.count)
    }

    @Test("buckets count all that is at most their bound")
    func buckets() {
        var metrics = OpenMetrics()
        var histogram = Histogram()
        for milliseconds in [1, 2, 60_000] { histogram.add(.milliseconds(milliseconds)) }
        metrics.family("m", .histogram, help: "h") { $0.add(histogram, [("a", "b")]) }
        let lines = metrics.text.split(separator: "\n")
        #expect(lines.contains(#"m_bucket{a="b",le="0.001"} 1"#) && lines.contains(#"m_bucket{a="b",le="0.0025"} 2"#))
        #expect(lines.contains(#"m_bucket{a="b",le="25.0"} 2"#) && lines.contains(#"m_bucket{a="b",le="+Inf"} 3"#))
        #expect(lines.contains(#"m_count{a="b"} 3"#))
    }

    // MARK: Views

    @Test("a tunnel is shown in the state that it is in")
    func states() throws {
        let handle = try MetricsTests.ended(.localClosed).handle
        let states: [(TunnelHandle.State, TunnelInfo.State)] = [
            (.queued, .queued), (.dialing, .dialing), (.warm, .warm), (.open, .open), (.draining, .draining),
            (.closed, .draining),
        ]
        for (state, shown) in states {
            handle.update { $0.state = state }
            #expect(TunnelInfo(handle).state == shown)
        }
        for (wait, shown) in [(TunnelHandle.Wait.lookup, TunnelInfo.Wait.lookup), (.login, .login), (.slot, .slot)] {
            handle.update { $0.waitsFor = wait }
            #expect(TunnelInfo(handle).waitsFor == shown)
        }
        handle.update { $0.waitsFor = nil }
        #expect(TunnelInfo(handle).waitsFor == nil && TunnelInfo(handle).liveness == .unknown)
        handle.update {
            $0.answersPings = true
            $0.roundTrip = .microseconds(1_500)
            $0.expiresAt = WallTime(secondsSinceEpoch: 5)
        }
        let info = TunnelInfo(handle)
        #expect(info.liveness == .alive && info.roundTripMilliseconds == 1.5 && info.expiresAt?.milliseconds == 5_000)
    }

    @Test("bytes are shown in the direction that they went")
    func bytes() throws {
        let end = try MetricsTests.ended(.localClosed, up: 3, down: 4)
        let info = TunnelInfo(end.handle)
        #expect(info.bytesLocalToRemote == 3 && info.bytesRemoteToLocal == 4)
        let record = AuditRecord(end, at: time, now: end.handle.began + .milliseconds(1_500), daemon: 7)
        #expect(record.bytesLocalToRemote == 3 && record.bytesRemoteToLocal == 4 && record.daemon == 7)
        #expect(record.seconds == 1.5 && record.end == time && record.start.milliseconds == time.milliseconds - 1_500)
    }

    @Test("only a tunnel that failed has a failure, under its forward's name or its target")
    func failures() throws {
        #expect(FailureRecord(try MetricsTests.ended(.localClosed)) == nil)
        let failure = Failure(.targetUnreachable, "no")
        #expect(FailureRecord(try MetricsTests.ended(.failed(failure)))?.subject == "web")
        let alone = FailureRecord(try MetricsTests.ended(.failed(failure), forward: nil))
        #expect(alone?.subject == "i-0123456789abcdef0:22" && alone?.failure == failure)
        let old = FailureRecord(when: time, failure: failure)
        let new = FailureRecord(when: Timestamp(milliseconds: time.milliseconds + 1), failure: Failure(.usage, "x"))
        #expect(FailureRecord.latest([new, nil, old]) == new && FailureRecord.latest([nil]) == nil)
    }

    @Test("a log-in that is needed is the command of its hint, or what is wrong")
    func logins() {
        #expect(NeededLogin(profile: nil, Failure(.needsLogin, "a", why: "b")).command == "a: b")
    }

    // MARK: A daemon that cannot start

    @Test("whoever waits at the control socket is told why the daemon cannot start")
    func failedStart() async throws {
        let folder = try TemporaryDirectory()
        let address = try #require(SocketAddress(unixPath: folder("s")))
        let listener = try Listener.bind(to: address)
        let clients = try (0..<2).map { _ in try LoopbackSocket.connect(path: folder("s")) }
        for client in clients { try client.write("{\"jsonrpc\":\"2.0\"}\n") }
        let failure = Failure(.configuration, "the file", why: "is bad", hint: "look")
        try await onThread { FailedStart.answer(failure, at: listener) }
        for client in clients {
            let line = try await onThread { try client.readLine() }
            let answer = try ControlWire.decode(ErrorEnvelope.self, from: line.utf8)
            #expect(answer.id == .null && answer.error.data.kind == .configuration)
            #expect(answer.error.data.what == "eiced cannot start" && answer.error.data.why == "the file: is bad")
            #expect(answer.error.data.hint == "look")
            #expect(try await onThread { try client.readToEnd() }.isEmpty)
        }
    }
}
