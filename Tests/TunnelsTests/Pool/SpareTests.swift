import Failures
import InstanceConnect
import SocketIO
import Synchronization
import TestSupport
import Testing

@testable import Tunnels

/// Spares that turn out to be stale, broken or old.
@Suite struct SpareTests {
    /// Serves tunnels, except that connections accepted before `spoil()` meet another script at their request.
    private final class Endpoint: Sendable {
        private struct State {
            var accepted = 0
            var spoiled = 0
            var requestsOnSpoiled = 0
        }

        private let state = Mutex(State())

        func start(
            onSpoiled: @escaping @Sendable (EndpointConnection) throws -> Void
        ) throws -> ScriptedEndpoint {
            try ScriptedEndpoint { connection in
                let number = self.state.withLock { state in
                    state.accepted += 1
                    return state.accepted
                }
                try connection.handshake()
                let request = try connection.request()
                let isSpoiled = self.state.withLock { state in
                    guard number <= state.spoiled else { return false }
                    state.requestsOnSpoiled += 1
                    return true
                }
                if isSpoiled { return try onSpoiled(connection) }
                try connection.accept(request)
                try connection.echo()
            }
        }

        /// All connections so far are of no use any more.
        func spoil() { state.withLock { $0.spoiled = $0.accepted } }

        /// Requests that came over a connection of no use.
        var requestsOnSpoiled: Int { state.withLock(\.requestsOnSpoiled) }
    }

    private static func echo(_ port: UInt16) throws -> LoopbackSocket {
        let client = try LoopbackSocket.connect(port: port)
        try client.write([7])
        guard try client.read(exactly: 1) == [7] else { throw TestFailure("another answer") }
        return client
    }

    /// A bench with an open tunnel, and `spares` spares beside it.
    private func scene(
        _ endpoint: ScriptedEndpoint, spares: Int
    ) async throws -> (bench: Bench, port: UInt16, client: LoopbackSocket) {
        let bench = try await Bench(endpoint, spares: spares)
        let port = try await bench.forward()
        let client = try await onThread { try Self.echo(port) }
        try await eventually("there are \(spares) spares") { await bench.spareCount() == spares }
        return (bench, port, client)
    }

    @Test("two stale spares cost one retry")
    func twoStaleSpares() async throws {
        let script = Endpoint()
        let (bench, port, first) = try await scene(script.start { _ in }, spares: 2)
        script.spoil()
        let second = try await onThread { try Self.echo(port) }
        #expect(script.requestsOnSpoiled == 1)
        #expect(bench.ends.isEmpty)
        first.close()
        second.close()
        #expect(try await bench.ends(2).allSatisfy { $0 == .localClosed })
    }

    @Test("a spare that dies within its answer is not dialed again")
    func deathWithinTheAnswer() async throws {
        let script = Endpoint()
        let endpoint = try script.start { connection in
            try connection.sendRaw(Array("HTTP/1.1 101 Switching Pro".utf8))
            try connection.sendCloseNotify()
        }
        let (bench, port, first) = try await scene(endpoint, spares: 1)
        script.spoil()
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        let failure = try #require(try await bench.end().failure)
        #expect(failure.kind == .connectionLost)
        #expect(failure.what == "eice-0123 ended the connection during the upgrade")
        #expect(script.requestsOnSpoiled == 1)
        first.close()
        second.close()
    }

    @Test("a refusal over a spare is the endpoint's answer")
    func refusalOverASpare() async throws {
        let script = Endpoint()
        let endpoint = try script.start { connection in
            try connection.sendRaw(Array("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".utf8))
            try connection.sendCloseNotify()
        }
        let (bench, port, first) = try await scene(endpoint, spares: 1)
        script.spoil()
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        #expect(try await bench.end().failure?.kind == .accessDenied)
        first.close()
        second.close()
    }

    @Test("the freshest spare is used first")
    func freshestSpare() async throws {
        struct Seen {
            var handshakes = 0
            var requests: [Int] = []
        }
        let seen = Mutex(Seen())
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let number = seen.withLock { seen in
                seen.handshakes += 1
                return seen.handshakes
            }
            let request = try connection.request()
            seen.withLock { $0.requests.append(number) }
            try connection.accept(request)
            try connection.echo()
        }
        let (bench, port, first) = try await scene(endpoint, spares: 0)
        for count in 1...3 {
            await Self.apply(count, bench)
            try await eventually("there is one more spare") {
                await bench.spareCount() == count && seen.withLock { $0.handshakes } == count + 1
            }
        }
        let second = try await onThread { try Self.echo(port) }
        #expect(seen.withLock { $0.requests } == [1, 4])
        first.close()
        second.close()
    }

    /// Has the transport keep so many spares.
    private static func apply(_ count: Int, _ bench: Bench) async {
        await bench.onControl { tables, loop in
            var settings = SpareSettings()
            settings.count = count
            tables.transport.apply(.patient, spares: settings, on: loop)
        }
    }

    @Test("a spare older than its time is replaced")
    func oldSpare() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, spares: 1, spareTimeToLive: .milliseconds(50))
        let port = try await bench.forward()
        let client = try await onThread { try Self.echo(port) }
        try await eventually("there is a spare") { await bench.spareCount() == 1 }
        let accepted = endpoint.acceptedCount
        try await eventually("another one took its place, twice") { endpoint.acceptedCount >= accepted + 2 }
        try await eventually("the old ones are closed") { endpoint.openCount <= 2 }
        client.close()
    }

    @Test("a spare that the endpoint closes is replaced while the endpoint is in use")
    func closedSpare() async throws {
        // Connections that nothing was asked of yet.
        let unasked = Mutex<[LoopbackSocket]>([])
        let endpoint = try ScriptedEndpoint { connection in
            unasked.withLock { $0.append(connection.socket) }
            defer { unasked.withLock { $0.removeAll { $0 === connection.socket } } }
            try connection.handshake()
            let request = try connection.request()
            unasked.withLock { $0.removeAll { $0 === connection.socket } }
            try connection.accept(request)
            try connection.echo()
        }
        let (bench, _, client) = try await scene(endpoint, spares: 1)
        let accepted = endpoint.acceptedCount
        unasked.withLock { $0.first }?.shutdownBoth()
        try await eventually("there is another spare") {
            await bench.spareCount() == 1 && endpoint.acceptedCount == accepted + 1
        }
        client.close()
    }

    @Test("settings with fewer spares close the ones too many, and none makes no more")
    func fewerSpares() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let (bench, port, first) = try await scene(endpoint, spares: 3)
        await Self.apply(1, bench)
        #expect(await bench.spareCount() == 1)
        try await eventually("two connections are left") { endpoint.openCount == 2 }
        await Self.apply(0, bench)
        #expect(await bench.spareCount() == 0)
        let accepted = endpoint.acceptedCount
        let second = try await onThread { try Self.echo(port) }
        #expect(endpoint.acceptedCount == accepted + 1)
        first.close()
        second.close()
    }
}
