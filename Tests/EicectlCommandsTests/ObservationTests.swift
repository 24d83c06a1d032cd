import ControlProtocol
import Failures
import Testing

@testable import EicectlCommands

/// What `events`, `status --watch` and `wait` make of what the daemon tells.
@Suite struct ObservationTests {
    let now = Timestamp(milliseconds: 1_772_357_400_250)

    func tunnel(_ id: String, up: UInt64 = 0, down: UInt64 = 0, _ state: TunnelInfo.State = .open) -> TunnelInfo {
        TunnelInfo(
            id: id, forward: "web", target: "i-1", remotePort: 22, endpoint: "eice-1", state: state,
            since: now.adding(seconds: -65), bytesLocalToRemote: up, bytesRemoteToLocal: down, peer: "127.0.0.1:5",
            expiresAt: now.adding(seconds: 240), roundTripMilliseconds: 12.34)
    }

    // MARK: Events

    func line(_ kind: ControlEvent.Kind, _ change: (inout ControlEvent) -> Void) -> Substring {
        var event = ControlEvent(kind, at: now)
        change(&event)
        // The time depends on where the test runs.
        return EventText.line(event).dropFirst("2026-03-01 09:30:00.250  ".count)
    }

    @Test func eachEventIsOneLine() {
        #expect(
            line(.tunnelClosed) {
                $0.tunnel = tunnel("t7", up: 3, down: 1536)
                $0.reason = "max duration reached (1h)"
            }
                == "tunnel closed    t7 (web) to i-1:22 after 1m5s, 3 B sent, 1.5 KiB received: max duration reached (1h)\n"
        )
        #expect(
            line(.tunnelOpened) { $0.tunnel = tunnel("t7") }
                == "tunnel opened    t7 (web) to i-1:22 through eice-1, from 127.0.0.1:5\n")
        #expect(
            line(.tunnelExpiring) {
                $0.tunnel = tunnel("t7")
                $0.expiresIn = 300
            } == "tunnel expiring  t7 (web) to i-1:22 ends in 5m\n")
        #expect(
            line(.endpointFull) {
                $0.endpoint = EndpointInfo(
                    id: "eice-1", dnsName: "", region: "", slots: .init(inUse: 20, cap: 20), queued: 3)
            } == "endpoint full    eice-1: 20 of 20 slots in use, 3 waiting\n")
        #expect(
            line(.loginNeeded) { $0.login = NeededLogin(command: "aws sso login") }
                == "login needed     the default profile: aws sso login\n")
        #expect(
            line(.forwardChanged) {
                $0.forward = ForwardInfo(name: "b", target: "i-1", remotePort: 22, addresses: ["/s"], maxDuration: 1)
                $0.was = "a"
            } == "forward changed  b: /s for i-1 port 22, until now a\n")
        #expect(line(.eventsDropped) { $0.dropped = 3 } == "events dropped   3 events were left out\n")
    }

    @Test func eventOfANewerDaemonIsShownByItsName() {
        #expect(line(ControlEvent.Kind(rawValue: "moon.risen")) { _ in } == "moon risen\n")
    }

    @Test func namesCannotMoveTheCursor() {
        let text = line(.forwardAdded) {
            $0.forward = ForwardInfo(
                name: "a\u{1B}[2Jb\n", target: "i-1", remotePort: 22, addresses: ["/s"], maxDuration: 1)
        }
        #expect(text == "forward added    a\\u{1B}[2Jb\\n: /s for i-1 port 22\n")
    }

    // MARK: The screen

    @Test func ratesAreWhatPassedBetweenTwoLooks() {
        var rates = TunnelRates()
        let start = ContinuousClock.now
        rates.note([tunnel("t1", up: 100, down: 5)], at: start)
        #expect(rates.rates.isEmpty)
        rates.note([tunnel("t1", up: 1100, down: 5), tunnel("t2", up: 9)], at: start + .seconds(2))
        #expect(rates.rates == ["t1": .init(localToRemote: 500, remoteToLocal: 0)])
        // Another daemon's tunnel of the same name has fewer bytes than the old one.
        rates.note([tunnel("t1", up: 1)], at: start + .seconds(3))
        #expect(rates.rates == ["t1": .init(localToRemote: 0, remoteToLocal: 0)])
    }

    @Test func screenHasAllAtOnce() {
        var rates = TunnelRates()
        let start = ContinuousClock.now
        rates.note([tunnel("t1")], at: start)
        rates.note([tunnel("t1", up: 1536, down: 20_480)], at: start + .seconds(1))
        var status = StatusResult(
            version: "1", pid: 7, uptime: 60, socket: "/s",
            tunnels: [tunnel("t1", up: 1536, down: 20_480), tunnel("t2", .queued)],
            endpoints: [
                EndpointInfo(id: "eice-1", dnsName: "d", region: "eu", slots: .init(inUse: 12, cap: 20), queued: 1)
            ], needsLogin: [NeededLogin(profile: "dev", command: "aws sso login --profile dev")],
            credentials: [CredentialInfo(profile: "dev", expiresAt: now.adding(seconds: 90)), CredentialInfo()],
            audit: AuditInfo(
                path: "/a",
                failure: FailureRecord(when: now, failure: Failure(.stateNotSaved, "cannot write", why: "full"))),
            warnings: [FailureRecord(when: now, failure: Failure(.internal, "connections wait"))],
            draining: [DrainingProcess(pid: 6, slots: 11), DrainingProcess(pid: 5, slots: 1)])
        #expect(
            StatusScreen.text(status, rates, trouble: nil, at: now, .plain) == """
                eiced 1, pid 7, up 1m
                eiced 1 is running, \(EICEDVersion.current) is installed: eicectl shutdown --handover
                warning: connections wait
                login needed for dev: aws sso login --profile dev

                ENDPOINT  REGION  SLOTS  WARM  SPARES  WAITING
                eice-1    eu      12/20  -     -       1
                pid 6 has handed over and still holds 11 slots
                pid 5 has handed over and still holds 1 slot

                WAITING  TARGET     FOR               AGE   PEER
                t2       web (i-1)  a slot of eice-1  1m5s  127.0.0.1:5

                TUNNEL  FORWARD  TARGET  STATE   LIVENESS  AGE   LEFT  SENT     RATE       RECEIVED  RATE      ROUND TRIP  PEER
                t1      web      i-1:22  open    unknown   1m5s  4m    1.5 KiB  1.5 KiB/s  20 KiB    20 KiB/s  12 ms       127.0.0.1:5
                t2      web      i-1:22  queued  -         1m5s  4m    0 B      -          0 B       -         12 ms       127.0.0.1:5

                no forwards

                PROFILE  CREDENTIALS
                dev      for 1m30s

                audit: cannot write: full

                """)
        status.warnings = [FailureRecord(when: now, failure: Failure(.malformedFile, "the file", why: "is bad"))]
        let text = StatusScreen.text(status, rates, trouble: nil, at: now, .plain)
        #expect(text.contains("\nwarning: the file: is bad\n"), "\(text)")
    }

    @Test func aScreenIsNeverLargerThanItsTerminal() {
        #expect(StatusScreen.fit("a\nb\nc\nd\n", columns: 20, rows: 3) == ["a", "b", "… 2 more lines"])
        #expect(
            StatusScreen.fit("abc\n\u{1B}[31mdef\u{1B}[0m\n", columns: 2, rows: 9) == ["ab", "\u{1B}[31mde\u{1B}[0m"])
        #expect(StatusScreen.fit("a\n", columns: 0, rows: 0) == [])
    }

    // MARK: wait

    @Test func whatMayPassIsTriedAgainUntilTheTimeIsOver() throws {
        let start = ContinuousClock.now
        var retry = WaitRetry(limit: .seconds(3), from: start)
        let failure = Failure(.targetUnreachable, "cannot reach i-1", why: "closed")
        #expect(try retry.pause(after: failure, at: start) == .milliseconds(500))
        #expect(try retry.pause(after: failure, at: start + .milliseconds(500)) == .seconds(1))
        // Not beyond the end: the last attempt comes right before it.
        #expect(try retry.pause(after: failure, at: start + .milliseconds(1500)) == .milliseconds(1300))
        let last = #expect(throws: Failure.self) { try retry.pause(after: failure, at: start + .milliseconds(2800)) }
        #expect(last?.kind == .targetUnreachable && last?.why == "closed; waited 3s")
    }

    @Test(arguments: [Failure.Kind.unknownForward, .accessDenied, .configuration, .tls, .foreignSocket])
    func whatWillNotPassFailsAtOnce(_ kind: Failure.Kind) {
        var retry = WaitRetry(limit: .seconds(60), from: .now)
        let thrown = #expect(throws: Failure.self) { try retry.pause(after: Failure(kind, "x"), at: .now) }
        #expect(thrown == Failure(kind, "x"))
    }

    @Test func aDaemonThatRestartsIsWaitedForAndOneThatNeverWasIsNot() throws {
        let gone = Failure(.daemonUnreachable, "no such file")
        var first = WaitRetry(limit: .seconds(60), from: .now)
        #expect(throws: Failure.self) { try first.pause(after: gone, at: .now) }
        var second = WaitRetry(limit: .seconds(60), from: .now)
        _ = try second.pause(after: Failure(.connectionLost, "it closed the connection"), at: .now)
        #expect(try second.pause(after: gone, at: .now) > .zero)
    }
}
