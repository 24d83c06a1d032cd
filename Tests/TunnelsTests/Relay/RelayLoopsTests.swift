import SocketIO
import TestSupport
import Testing

@testable import Tunnels

extension Pace.Limits {
    /// A tunnel moves as soon as it carries something, and back a moment later, again and again.
    static var restless: Self {
        Self(bulkCount: 1, bulkWindow: .seconds(3_600), calmCount: .max, calmWindow: .milliseconds(2))
    }
}

/// Open tunnels move between the loops for little and for much.
@Suite struct RelayLoopsTests {
    private static func isBulk(_ handle: TunnelHandle, _ bench: Bench) async -> Bool {
        let loop = bench.relays.loop(of: handle.id, isBulk: true)
        return await Bench.run(on: loop) { loop in handle.tunnel(on: loop) != nil }
    }

    @Test func numbersInARowAreOnDifferentLoops() throws {
        let loops = try RelayLoops(3)
        #expect(loops.all.count == 6)
        for isBulk in [false, true] {
            let places = (UInt64(5)..<8).map { ObjectIdentifier(loops.loop(of: $0, isBulk: isBulk)) }
            #expect(Set(places).count == 3)
            #expect(ObjectIdentifier(loops.loop(of: 8, isBulk: isBulk)) == places[0])
        }
        let all = (UInt64(0)..<3).flatMap { [loops.loop(of: $0, isBulk: false), loops.loop(of: $0, isBulk: true)] }
        #expect(Set(all.map { ObjectIdentifier($0) }).count == 6)
    }

    /// Sends so many bytes of a pattern through a tunnel that echoes them, and compares what comes.
    private static func exchange(_ count: Int, over client: LoopbackSocket) async throws {
        async let sent: Void = onThread { try Pattern(seed: 1).send(count, on: client) }
        #expect(try await onThread { try Pattern(seed: 1).verify(count, from: client) } == count)
        try await sent
    }

    @Test func aTransferMovesAndComesBackWhenItIsOver() async throws {
        let limits = Pace.Limits(
            bulkCount: 1 << 20, bulkWindow: .seconds(3_600), calmCount: 64 << 10, calmWindow: .milliseconds(500))
        let bench = try await Bench(ScriptedEndpoint.echo(), pace: limits)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        guard let handle = await bench.handles().first else { throw TestFailure("no tunnel") }
        #expect(await !Self.isBulk(handle, bench))

        try await eventually("the tunnel is with the transfers") {
            try await Self.exchange(1 << 20, over: client)
            return await Self.isBulk(handle, bench)
        }
        try await eventually("the tunnel is with those that carry little") {
            try await Self.exchange(1, over: client)
            return await !Self.isBulk(handle, bench)
        }
        // Who has its handle finds it.
        handle.close(.requested("by a test"))
        #expect(try await bench.end() == .requested("by a test"))
        #expect(await bench.lentBuffers() == 0)
    }

    @Test func aTransferThatMovesAgainAndAgainLosesNothing() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), pace: .restless)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        guard let handle = await bench.handles().first else { throw TestFailure("no tunnel") }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { while !Task.isCancelled { try await Self.exchange(1 << 20, over: client) } }
            for _ in 1...3 {
                try await eventually("it has moved") { await Self.isBulk(handle, bench) }
                try await eventually("it has moved back") { await !Self.isBulk(handle, bench) }
            }
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test func aTunnelThatIsClosedWhileItMovesEnds() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            // Endless, until the tunnel is closed.
            while true { try connection.send([UInt8](repeating: 9, count: 10_000)) }
        }
        var timeouts = TunnelTimeouts.patient
        timeouts.close = .milliseconds(100)
        let bench = try await Bench(endpoint, timeouts: timeouts, pace: .restless)
        let port = try await bench.forward()
        for round in 1...20 {
            let client = try await onThread { try LoopbackSocket.connect(port: port) }
            try await onThread { _ = try client.read(exactly: 100_000) }
            guard let handle = await bench.handles().first else { throw TestFailure("no tunnel") }
            handle.close(.requested("by a test"))
            _ = try? await onThread { try client.readToEnd() }
            #expect(try await bench.ends(round).last == .requested("by a test"))
        }
        try await bench.waitForSlots(.init())
        #expect(await bench.lentBuffers() == 0)
        try await eventually("the endpoint's connections are closed") { endpoint.openCount == 0 }
    }

    @Test func aTunnelThatMovesKeepsItsTimers() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), pace: .restless)
        let port = try await bench.forward(maxDuration: .milliseconds(300))
        try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            // Until the timer ends it.
            let deadline = ContinuousClock.now + .seconds(30) * Patience.factor
            while .now < deadline, (try? client.write("x")) != nil, (try? client.read(exactly: 1).count) == 1 {}
        }
        #expect(try await bench.end() == .maxDuration(.milliseconds(300)))
        #expect(await bench.lentBuffers() == 0)
    }
}
