import SocketIO
import TestSupport
import Testing
import Transport

@testable import Tunnels

/// Tunnels by transports that are not Instance Connect.
@Suite struct SeamTests {
    private func bench(
        _ nature: FakeTransport.Nature, _ server: LoopbackServer, slots: Int = 20
    ) async throws -> Bench {
        try await Bench(ScriptedEndpoint.echo(), slots: slots, fake: (nature, server.port))
    }

    private func echoed(_ client: LoopbackSocket, _ text: String) async throws -> String {
        try await onThread {
            try client.write(text)
            return String(decoding: try client.read(exactly: text.utf8.count), as: UTF8.self)
        }
    }

    @Test("where the transport has a half-close, the target hears of the client's, and its answer may take any time")
    func halfClose() async throws {
        let answers = try Gate()
        let server = try LoopbackServer { connection in
            let request = try connection.readToEnd()
            answers.wait()
            try connection.write("\(request.count) bytes")
        }
        let bench = try await bench(.init(canHalfClose: true), server)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        let handle = try await bench.openTunnel()
        try client.write("hello")
        client.shutdownWrite()
        try await eventually("the target was told") {
            try await bench.visit(handle) { tunnel, _ in
                tunnel.local.hasEnded && tunnel.clock.timers[.secondLook] != nil
            }
        }
        // A wire without a half-close has a limit for the target's silence here.
        #expect(try await bench.visit(handle) { tunnel, _ in tunnel.clock.timers[.drain] == nil })
        answers.open()
        #expect(try await onThread { String(decoding: try client.readToEnd(), as: UTF8.self) } == "5 bytes")
        client.close()
        #expect(try await bench.end() == .remoteClosed)
        try await bench.waitForSlots(.init())
    }

    @Test("where the transport has no half-close, the target's silence after the client's has a limit")
    func noHalfClose() async throws {
        let server = try LoopbackServer { connection in _ = try connection.readToEnd() }
        let bench = try await bench(.init(), server)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        let handle = try await bench.openTunnel()
        client.shutdownWrite()
        try await eventually("its silence is counted") {
            try await bench.visit(handle) { tunnel, _ in tunnel.clock.timers[.drain] != nil }
        }
        client.close()
        #expect(try await bench.end() == .localClosed)
    }

    @Test("a gateway without a limit of slots lets nobody wait, whatever the configured cap")
    func noCapacity() async throws {
        let server = try LoopbackServer.echo()
        let bench = try await bench(.init(), server, slots: 1)
        let port = try await bench.forward()
        let clients = try await onThread { try (0..<40).map { _ in try LoopbackSocket.connect(port: port) } }
        try await bench.waitForStates(.init(repeating: .open, count: 40))
        try await bench.waitForSlots(.init(inUse: 40, queued: 0))
        for (number, client) in clients.enumerated() {
            #expect(try await echoed(client, "client \(number)") == "client \(number)")
        }
        for client in clients { client.close() }
        #expect(try await bench.ends(40).allSatisfy { $0 == .localClosed })
        try await bench.waitForSlots(.init())
    }

    @Test("tunnels that share a connection share its slot, which is free again when the last of them has ended")
    func sharedCarrier() async throws {
        let server = try LoopbackServer.echo()
        let bench = try await bench(.init(capacity: 1, tunnelsPerCarrier: 3), server, slots: 1)
        let port = try await bench.forward()
        var clients: [LoopbackSocket] = []
        for count in 1...3 {
            clients.append(try await onThread { try LoopbackSocket.connect(port: port) })
            try await bench.waitForStates(.init(repeating: .open, count: count))
        }
        #expect(await bench.slots() == .init(inUse: 1, queued: 0))
        let late = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        // The tunnel that opened the connection may end first: the slot belongs to the connection.
        clients.removeFirst().close()
        try await bench.waitForStates([.open, .open, .queued])
        #expect(await bench.slots() == .init(inUse: 1, queued: 1))
        #expect(try await echoed(clients[0], "still here") == "still here")
        for client in clients { client.close() }
        try await bench.waitForStates([.open])
        try await bench.waitForSlots(.init(inUse: 1, queued: 0))
        #expect(try await echoed(late, "my turn") == "my turn")
        late.close()
        #expect(try await bench.ends(4).allSatisfy { $0 == .localClosed })
        try await bench.waitForSlots(.init())
    }

    @Test("slots that a newer process holds of a transport that is unknown here have a limit")
    func unknownTransport() async throws {
        let server = try LoopbackServer.echo()
        let bench = try await bench(.init(), server)
        let unlimited = await bench.onControl { tables, loop in
            let taken = ["fake", "newer"].map { Gateway(transport: $0, id: $0, region: "here") }
            tables.pools.setTaken([taken[0]: (1, nil), taken[1]: (1, nil)], on: loop)
            return tables.pools.all.map { "\($0.gateway.id) \($0.isUnlimited)" }
        }
        #expect(unlimited == ["fake true", "newer false"])
    }

    @Test("a warm tunnel on a shared connection, which has no slot of its own, is joined by the next client")
    func warmOnSharedCarrier() async throws {
        // A warm tunnel to port 22 is warm once the server's banner is there.
        let server = try LoopbackServer { connection in
            try connection.write("hello")
            while true {
                let bytes = try connection.read()
                if bytes.isEmpty { return }
                try connection.write(bytes)
            }
        }
        let bench = try await bench(.init(capacity: 1, tunnelsPerCarrier: 8), server, slots: 1)
        var specification = try Bench.specification()
        specification.warm = 1
        let port = try #require(try await bench.add(specification).first?.port)
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        #expect(try await onThread { try first.read(exactly: 5) } == Array("hello".utf8))
        let warm = try await eventually("a tunnel is warm") {
            await bench.handles().first { $0.snapshot.state == .warm }
        }
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        try await eventually("it is joined") { warm.snapshot.state == .open }
        #expect(try await onThread { try second.read(exactly: 5) } == Array("hello".utf8))
        #expect(try await echoed(second, "two") == "two")
        #expect(await bench.slots() == .init(inUse: 1, queued: 0))
        first.close()
        second.close()
    }
}
