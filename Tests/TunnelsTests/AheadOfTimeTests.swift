import Failures
import InstanceConnect
import Synchronization
import TestSupport
import Testing

@testable import Tunnels

/// What is made before it is needed: spares and warm tunnels.
@Suite struct AheadOfTimeTests {
    @Test func aConnectionUsesTheSpareThatTheOneBeforeItLeft() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, spares: 1)
        let port = try await bench.forward()
        let first = try await onThread { try Self.echo(port) }
        try await eventually("there is a spare") { await bench.spareCount() == 1 }
        let accepted = endpoint.acceptedCount
        let second = try await onThread { try Self.echo(port) }
        // Used up, and replaced by one more connection: the second client opened none of its own.
        try await eventually("the spare is replaced") {
            await bench.spareCount() == 1 && endpoint.acceptedCount == accepted + 1
        }
        first.close()
        second.close()
        _ = try await bench.ends(2)
    }

    @Test func aStaleSpareIsReplacedWithoutAWord() async throws {
        let served = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let number = served.withLock { number in
                number += 1
                return number
            }
            // The second request comes over the spare, which ends before a byte of an answer.
            if number == 2 { return }
            try connection.accept(request)
            try connection.echo()
        }
        let bench = try await Bench(endpoint, spares: 1)
        let port = try await bench.forward()
        let first = try await onThread { try Self.echo(port) }
        try await eventually("there is a spare") { await bench.spareCount() == 1 }
        let second = try await onThread { try Self.echo(port) }
        #expect(bench.ends.isEmpty)
        first.close()
        second.close()
        #expect(try await bench.ends(2).allSatisfy { $0 == .localClosed })
    }

    @Test func aWarmTunnelIsThereForTheNextConnection() async throws {
        let endpoint = try Self.greeter()
        let bench = try await Bench(endpoint)
        var specification = try Bench.specification()
        specification.warm = 1
        let address = try #require(try await bench.add(specification).first)
        let first = try await onThread { try Self.greeted(address.port) }
        try await eventually("a tunnel is warm") { await bench.states().contains(.warm) }
        let accepted = endpoint.acceptedCount
        let second = try await onThread { try Self.greeted(address.port) }
        try await eventually("the next one is warm") {
            let states = await bench.states()
            return states.count { $0 == .open } == 2 && states.contains(.warm)
        }
        #expect(endpoint.acceptedCount == accepted + 1)
        first.close()
        second.close()
    }

    @Test func aWarmTunnelGivesItsSlotToWhoeverNeedsIt() async throws {
        let endpoint = try Self.greeter()
        let bench = try await Bench(endpoint, slots: 2)
        var specification = try Bench.specification("warm")
        specification.warm = 1
        let warm = try #require(try await bench.add(specification).first)
        let first = try await onThread { try Self.greeted(warm.port) }
        try await eventually("a tunnel is warm") { await bench.states().contains(.warm) }
        let other = try #require(try await bench.add(try Bench.specification("other")).first)
        let second = try await onThread { try Self.greeted(other.port) }
        #expect(bench.ends.map(\.reason) == [.evicted])
        first.close()
        second.close()
    }

    private static func greeter() throws -> ScriptedEndpoint {
        try ScriptedEndpoint.open { connection in
            try connection.send("SSH-2.0-test\r\n")
            try connection.echo()
        }
    }

    private static func echo(_ port: UInt16) throws -> LoopbackSocket {
        let client = try LoopbackSocket.connect(port: port)
        try client.write([7])
        guard try client.read(exactly: 1) == [7] else { throw TestFailure("another answer") }
        return client
    }

    private static func greeted(_ port: UInt16) throws -> LoopbackSocket {
        let client = try LoopbackSocket.connect(port: port)
        guard try client.read(exactly: 14) == Array("SSH-2.0-test\r\n".utf8) else { throw TestFailure("no greeting") }
        return client
    }
}
