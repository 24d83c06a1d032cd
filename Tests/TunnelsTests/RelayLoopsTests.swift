import SocketIO
import TestSupport
import Testing

@testable import Tunnels

extension Pace.Limits {
    /// A tunnel moves at each turn in which it carries something, and back.
    static var restless: Self {
        Self(bulkCount: 1, bulkWindow: .seconds(3_600), calmCount: .max, calmWindow: .zero)
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

    @Test func aTransferMovesAndComesBackWhenItIsOver() async throws {
        let limits = Pace.Limits(
            bulkCount: 1 << 20, bulkWindow: .seconds(3_600), calmCount: 1 << 20, calmWindow: .milliseconds(200))
        let bench = try await Bench(ScriptedEndpoint.echo(), pace: limits)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        guard let handle = await bench.handles().first else { throw TestFailure("no tunnel") }
        #expect(await !Self.isBulk(handle, bench))

        let total = 2 << 20
        async let sent: Void = onThread { try Pattern(seed: 1).send(total, on: client) }
        #expect(try await onThread { try Pattern(seed: 1).verify(total, from: client) } == total)
        try await sent
        #expect(await Self.isBulk(handle, bench))

        try await eventually("the tunnel is with those that carry little") {
            try await onThread {
                try client.write("k")
                #expect(try client.read(exactly: 1) == Array("k".utf8))
            }
            return await !Self.isBulk(handle, bench)
        }
        // Its deadlines moved with it, and who has its handle finds it.
        handle.close(.requested("by a test"))
        #expect(try await bench.end() == .requested("by a test"))
        #expect(await bench.lentBuffers() == 0)
    }

    @Test func aTunnelThatIsClosedWhileItMovesEnds() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            // Endless, until the tunnel is closed.
            while true { try connection.send([UInt8](repeating: 9, count: 10_000)) }
        }
        var timeouts = TunnelTimeouts()
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
            // Until the daemon ends it.
            while (try? client.write("x")) != nil, (try? client.read(exactly: 1).count) == 1 {}
        }
        #expect(try await bench.end() == .maxDuration(.milliseconds(300)))
        #expect(await bench.lentBuffers() == 0)
    }
}
