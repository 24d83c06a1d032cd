import Failures
import SocketIO
import Synchronization
import TestSupport
import Testing
import WebSocket

@testable import InstanceConnect
@testable import Tunnels

/// What a tunnel counts its timers from. The tests set the tunnel's instants and fire its timers by hand, so no time passes.
@Suite struct TunnelClockTests {
    // MARK: The queue

    @Test("all waits of one connection for a slot together last one queue timeout")
    func queueAfterRefusals() async throws {
        let requests = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            _ = try connection.request()
            requests.withLock { $0 += 1 }
            try connection.sendRaw(Array("HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n".utf8))
            try connection.sendCloseNotify()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        struct Wait: Sendable {
            let end: ContinuousClock.Instant
            let timer: ContinuousClock.Instant
        }
        /// The tunnel's wait for a slot, once the endpoint refused so many dials. Half a second and more lies between two.
        func wait(afterRefusals count: Int) async throws -> Wait? {
            guard requests.withLock({ $0 }) >= count, let handle = await bench.handles().first else { return nil }
            return try await bench.visit(handle) { tunnel, _ -> Wait? in
                guard tunnel.machine.state == .queued, let end = tunnel.clock.queueEnd,
                    let timer = tunnel.clock.timers[.queue]
                else { return nil }
                return Wait(end: end, timer: timer.at)
            }
        }
        let first = try await eventually("it waits after a refusal", value: { try await wait(afterRefusals: 1) })
        let second = try await eventually("it waits after another one", value: { try await wait(afterRefusals: 2) })
        #expect(first.end == second.end)
        #expect(first.timer <= first.end && second.timer <= second.end)
        client.close()
        #expect(try await bench.end() == .clientLeft)
    }

    // MARK: Life

    @Test("a tunnel's life counts from its request, however slow the upgrade is")
    func lifeCountsFromTheRequest() async throws {
        let (asked, answer) = (Box<ContinuousClock.Instant>(), try Gate())
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            asked.value = .now
            answer.wait()
            try connection.accept(request)
            try connection.echo()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward(maxDuration: .seconds(600))
        let began = ContinuousClock.now
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        let received = try await eventually("the endpoint has the request") { asked.value }
        answer.open()
        let handle = try await bench.openTunnel()
        let end = try await bench.visit(handle) { tunnel, _ in tunnel.clock.timers[.maxDuration]?.at }
        let life = try #require(end)
        #expect(life <= received + .seconds(600))
        #expect(life >= began + .seconds(600))
        client.close()
    }

    @Test("the wait for a slot is not part of a tunnel's life")
    func lifeDoesNotCountTheQueue() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), slots: 1)
        let port = try await bench.forward(maxDuration: .seconds(600))
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        let granted = ContinuousClock.now
        first.close()
        _ = try await bench.end()
        let handle = try await bench.openTunnel()
        let (end, used) = try await bench.visit(handle) { tunnel, _ in
            (tunnel.clock.timers[.maxDuration]?.at, tunnel.clock.lastActivity)
        }
        #expect(try #require(end) >= granted + .seconds(600))
        #expect(used >= granted, "nor of its idleness")
        second.close()
    }

    @Test("a tunnel keeps its timers when it moves to another loop")
    func timersMove() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let port = try await bench.forward(maxDuration: .seconds(600), idleTimeout: .seconds(300))
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        let handle = try await bench.openTunnel()
        let timers = try await bench.visit(handle) { tunnel, _ in Set(tunnel.clock.timers.keys) }
        #expect(timers == [.maxDuration, .warning, .idle, .liveness])
        client.close()
    }

    // MARK: Idleness

    /// A forward's open tunnel that may be idle for an hour.
    private func idleScene(
        _ script: @escaping @Sendable (EndpointConnection) throws -> Void
    ) async throws -> (Bench, LoopbackSocket, TunnelHandle) {
        let bench = try await Bench(try ScriptedEndpoint.open(script))
        let port = try await bench.forward(idleTimeout: .seconds(3_600))
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        return (bench, client, try await bench.openTunnel())
    }

    /// The tunnel was last used so long ago.
    private func rest(_ bench: Bench, _ handle: TunnelHandle, for length: Duration) async throws {
        try await bench.visit(handle) { tunnel, _ in
            tunnel.clock.lastActivity = .now - length
            tunnel.clock.silentSince = .now - length
            (tunnel.remote as? EndpointStream)?.lastHeard = .now - length
        }
    }

    @Test("an idle timer that fires after traffic runs for the rest of the timeout")
    func trafficInTheMiddle() async throws {
        let (bench, client, handle) = try await idleScene { try $0.echo() }
        try await rest(bench, handle, for: .seconds(3_000))
        let (state, last, at) = try await bench.visit(handle) { tunnel, loop in
            tunnel.fired(.idle, on: loop)
            return (tunnel.machine.state, tunnel.clock.lastActivity, tunnel.clock.timers[.idle]?.at)
        }
        #expect(state == .open)
        let again = try #require(at)
        #expect(again <= last + .seconds(3_600))
        #expect(again > last + .seconds(3_500))
        client.close()
    }

    @Test("bytes of the client keep a tunnel from being idle")
    func uploadIsActivity() async throws {
        let (bench, client, handle) = try await idleScene { _ = try $0.drain() }
        try await rest(bench, handle, for: .seconds(3_600))
        let before = ContinuousClock.now
        try client.write("up")
        try await eventually("the bytes went out") { handle.statistics.localToRemote == 2 }
        let (last, state) = try await bench.visit(handle) { tunnel, loop in
            tunnel.fired(.idle, on: loop)
            return (tunnel.clock.lastActivity, tunnel.machine.state)
        }
        #expect(last >= before && state == .open)
        client.close()
    }

    @Test("bytes of the target keep a tunnel from being idle")
    func downloadIsActivity() async throws {
        let speak = try Gate()
        let (bench, client, handle) = try await idleScene { connection in
            speak.wait()
            try connection.send("down")
            _ = try connection.drain()
        }
        try await rest(bench, handle, for: .seconds(3_600))
        let before = ContinuousClock.now
        speak.open()
        #expect(try await onThread { try client.read(exactly: 4) } == Array("down".utf8))
        let (last, silent, state) = try await bench.visit(handle) { tunnel, loop in
            tunnel.fired(.idle, on: loop)
            return (tunnel.clock.lastActivity, tunnel.clock.silentSince, tunnel.machine.state)
        }
        #expect(last >= before && silent >= before && state == .open)
        client.close()
    }

    @Test("a ping of the endpoint is no activity")
    func pingIsNoActivity() async throws {
        let speak = try Gate()
        let (bench, client, handle) = try await idleScene { connection in
            speak.wait()
            try connection.sendRaw(frame(.ping))
            try connection.echo()
        }
        try await rest(bench, handle, for: .seconds(3_600))
        speak.open()
        try await eventually("the ping was heard") {
            try await bench.visit(handle) { tunnel, _ in (tunnel.remote?.lastHeard ?? .now) > .now - .seconds(3_000) }
        }
        try await bench.visit(handle) { tunnel, loop in tunnel.fired(.idle, on: loop) }
        #expect(try await bench.end() == .idle(for: .seconds(3_600)))
        client.close()
    }

    // MARK: Half-close

    @Test("a half-closed client that reads late outlives the drain")
    func lateReader() async throws {
        let total = 3_000_000
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.receive(1)
            try connection.send(Pattern(seed: 11), 0..<total)
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread {
            let client = try LoopbackSocket.connect(port: port, receiveBuffer: 4_096)
            try client.write("x")
            client.shutdownWrite()
            return client
        }
        let handle = try await eventually("there is a tunnel", value: { await bench.handles().first })
        try await eventually("the target's bytes wait for the client") {
            try await bench.visit(handle) { tunnel, _ in
                tunnel.clock.timers[.drain] != nil && tunnel.remote?.payload.isEmpty == false
            }
        }
        let (state, isArmed) = try await bench.visit(handle) { tunnel, loop in
            tunnel.clock.silentSince = .now - .seconds(60)
            tunnel.fired(.drain, on: loop)
            return (tunnel.machine.state, tunnel.clock.timers[.drain] != nil)
        }
        #expect(state == .open && isArmed)
        #expect(try await onThread { try Pattern(seed: 11).verify(from: client) } == total)
        client.close()
        #expect(try await bench.end() == .remoteClosed)
    }

    @Test("the drain of a silent target is over when its timer says so")
    func drainOfASilentTarget() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.drain()
            try connection.answerClose()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        let handle = try await bench.openTunnel()
        client.shutdownWrite()
        try await eventually("the drain began") {
            try await bench.visit(handle) { tunnel, _ in tunnel.clock.timers[.drain] != nil }
        }
        try await bench.visit(handle) { tunnel, loop in
            tunnel.clock.silentSince = .now - .seconds(10)
            tunnel.fired(.drain, on: loop)
        }
        #expect(try await bench.end() == .drained(after: .seconds(10)))
        client.close()
    }

    // MARK: Liveness

    @Test("a busy tunnel is not pinged, a silent one is")
    func busyTunnel() async throws {
        let (speak, heard) = (try Gate(), Box<EndpointConnection.Heard>())
        let (bench, client, handle) = try await idleScene { connection in
            speak.wait()
            try connection.send("word")
            heard.value = try connection.next()
            #expect(try connection.next() == .ping([]))
            #expect(try connection.next() == .data(Array("y".utf8)))
            try connection.send("end")
            _ = try connection.drain()
        }
        try await rest(bench, handle, for: .seconds(3_000))
        speak.open()
        _ = try await onThread { try client.read(exactly: 4) }
        let at = try await bench.visit(handle) { tunnel, loop in
            tunnel.fired(.liveness, on: loop)
            return tunnel.clock.timers[.liveness]?.at
        }
        #expect(at != nil, "it looks again")
        try client.write("x")
        try await eventually("the endpoint hears something") { heard.value != nil }
        #expect(heard.value == .data(Array("x".utf8)))

        try await rest(bench, handle, for: .seconds(30))
        let looksForAnswer = try await bench.visit(handle) { tunnel, loop in
            tunnel.fired(.liveness, on: loop)
            return tunnel.clock.timers[.liveness] != nil
        }
        #expect(looksForAnswer)
        try client.write("y")
        #expect(try await onThread { try client.read(exactly: 3) } == Array("end".utf8))
        client.close()
    }

    @Test("an endpoint that answers pings and falls silent is dead")
    func deadEndpoint() async throws {
        let (bench, client, handle) = try await idleScene { connection in
            while true {
                switch try connection.next() {
                case .ping(let payload): try connection.sendRaw(frame(.pong, payload))
                case .close, .violation, .end: return
                case .data, .pong: continue
                }
            }
        }
        try await rest(bench, handle, for: .seconds(30))
        try await bench.visit(handle) { tunnel, loop in tunnel.fired(.liveness, on: loop) }
        try await eventually("the pong is noted") { handle.snapshot.answersPings }
        let (answers, noted) = try await bench.visit(handle) { tunnel, _ in
            (tunnel.clock.liveness.answersPings, tunnel.remote?.answersProbes)
        }
        #expect(answers && noted == true)
        let other = try await bench.connect(waitsForTarget: false)
        try await bench.waitForStates([.open, .open])
        #expect(
            try await bench.visit(other.0) { tunnel, _ in tunnel.clock.liveness.answersPings },
            "it is the same endpoint")
        try await bench.visit(handle) { tunnel, loop in
            for silence in [30, 60] {
                (tunnel.remote as? EndpointStream)?.lastHeard = .now - .seconds(silence)
                tunnel.fired(.liveness, on: loop)
            }
        }
        let failure = try #require(try await bench.end().failure)
        #expect(failure.kind == .connectionLost)
        #expect(failure.what == "eice-0123 is silent")
        client.close()
    }

    @Test("an endpoint that pings and never reads costs a bounded amount of memory")
    func pingsWithoutEnd() async throws {
        let (checked, pings) = (try Gate(), 120_000)
        let endpoint = try ScriptedEndpoint.open { connection in
            let block = Array((0..<100).map { _ in frame(.ping, [UInt8](repeating: 1, count: 125)) }.joined())
            for _ in 0..<pings / 100 { try connection.sendRaw(block) }
            try connection.send("all")
            checked.wait()
        }
        defer { checked.open() }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        #expect(try await onThread { try client.read(exactly: 3) } == Array("all".utf8))
        let handle = try await bench.openTunnel()
        let waiting = try await bench.visit(handle) { tunnel, _ in
            (tunnel.remote as? EndpointStream)?.controlFrames.count ?? 0
        }
        #expect(waiting >= EndpointStream.mostWaitingControlBytes, "the kernel took all pongs: send more pings")
        #expect(waiting < EndpointStream.mostWaitingControlBytes + 2 * 131)
        client.close()
    }

    // MARK: The end

    @Test("an orderly close in the last second of a tunnel's life is the end of that life")
    func orderlyClose() async throws {
        let close = try Gate()
        let (bench, client, handle) = try await idleScene { connection in
            close.wait()
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        try await bench.visit(handle) { tunnel, _ in tunnel.clock.timers[.maxDuration]?.at = .now }
        close.open()
        #expect(try await bench.end() == .maxDuration(.seconds(3_600)))
        client.close()
    }

    @Test("an orderly close in the middle of a tunnel's life is the target's")
    func earlyOrderlyClose() async throws {
        let (bench, client, _) = try await idleScene { connection in
            _ = try connection.receive(1)
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        try client.write("x")
        #expect(try await onThread { try client.readToEnd() }.isEmpty)
        client.close()
        #expect(try await bench.end() == .remoteClosed)
    }

    // MARK: The signer

    @Test("a prepared signer is used for five seconds")
    func signerLifetime() async throws {
        let router = ScriptedRouter(.init(signsAtOnce: true))
        let bench = try await Bench(ScriptedEndpoint.echo(), slots: 1, router: router)
        let port = try await bench.forward()
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        #expect(router.awaitedSignatures == 0)

        func setCap(_ cap: Int) async {
            await bench.onControl { tables, loop in
                for pool in tables.pools.all { pool.apply(cap: cap, queueLength: 9, on: loop) }
            }
        }

        // Whether the wait in the queue outlasted the signer.
        for (isLate, awaited) in [(false, 0), (true, 1)] {
            let began = ContinuousClock.now
            let waiting = try await onThread { try LoopbackSocket.connect(port: port) }
            try await bench.waitForSlots(.init(inUse: 1, queued: 1))
            let handle = try #require(await bench.handles().last)
            let until = try await bench.visit(handle) { tunnel, _ in
                // A slow machine must not make the other one late.
                let preparation = tunnel.dial.preparation as? DialPreparation
                let until = preparation?.signerEnds
                preparation?.signerEnds = isLate ? .now : .now + .seconds(3_600)
                return until
            }
            let end = try #require(until)
            #expect(end >= began + .seconds(5) && end <= .now + .seconds(5))
            await setCap(2)
            let echoed = try await onThread {
                try waiting.write("x")
                return try waiting.read(exactly: 1)
            }
            #expect(echoed == Array("x".utf8))
            #expect(router.awaitedSignatures == awaited)
            await setCap(1)
            waiting.close()
            try await bench.waitForSlots(.init(inUse: 1, queued: 0))
        }
        first.close()
    }
}
