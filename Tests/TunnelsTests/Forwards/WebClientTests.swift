import AWS
import Glibc
import InstanceConnect
import SocketIO
import Synchronization
import TestSupport
import Testing

@testable import Tunnels

/// What a web page makes the user's own browser do to forwards: speak HTTP or TLS to them, and hold their slots.
@Suite struct WebClientTests {
    private static let request = "GET /latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    /// An endpoint that keeps what the clients of its tunnels sent.
    private static func listening(_ heard: Heard) throws -> ScriptedEndpoint {
        try ScriptedEndpoint.open { connection in
            while true {
                guard case .data(let bytes) = try connection.next() else { return }
                heard.bytes.withLock { $0 += bytes }
            }
        }
    }

    private final class Heard: Sendable {
        let bytes = Mutex<[UInt8]>([])
        var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }
    }

    private func refusals(_ bench: Bench) async -> (count: Int, last: AccessRefusal?) {
        await bench.onControl { tables, _ in
            let forward = tables.forwards["web"]
            return (forward?.refused ?? 0, forward?.lastRefused?.refusal)
        }
    }

    /// Whether the server ended the connection by a reset.
    private static func isReset(_ client: LoopbackSocket) throws -> Bool {
        do {
            return try client.read().isEmpty ? false : isReset(client)
        } catch let error as SystemError where error.code == ECONNRESET {
            return true
        }
    }

    @Test("a browser's request to a forward of port 22 ends the tunnel, and no byte of it passes")
    func requestIsRefused() async throws {
        let heard = Heard()
        let bench = try await Bench(try Self.listening(heard))
        let port = try await bench.forward()
        for (number, text) in [Self.request, "PRI * HTTP/2.0\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}"].enumerated() {
            let client = try await onThread { try LoopbackSocket.connect(port: port) }
            try await onThread { try client.write(text) }
            #expect(try await onThread { try Self.isReset(client) })
            let end = try await bench.ends(number + 1)[number]
            #expect(end.code == .notSSH && !end.isOrderly, "\(end)")
            try await eventually("it was counted") { await self.refusals(bench).count == number + 1 }
        }
        #expect(await refusals(bench).last == .webClient(.tls))
        #expect(heard.text == "")
        try await bench.waitForSlots(.init())
    }

    @Test("a request that comes in parts ends an open tunnel as well")
    func requestInParts() async throws {
        let bench = try await Bench(try Self.listening(Heard()))
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        try await onThread { try client.write("GE") }
        try await eventually("the first part passed at once") {
            await bench.handles().first?.statistics.localToRemote == 2
        }
        try await onThread { try client.write("T / HTTP/1.1\r\n\r\n") }
        #expect(try await onThread { try Self.isReset(client) })
        #expect(try await bench.end() == .notSSH(.http))
        #expect(await refusals(bench).count == 1)
    }

    @Test("a browser that waits for a slot gives its place up at once")
    func requestInTheQueue() async throws {
        let bench = try await Bench(try ScriptedEndpoint.echo(), slots: 1)
        let port = try await bench.forward()
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        try await onThread { try client.write(Self.request) }
        #expect(try await onThread { try Self.isReset(client) })
        try await bench.waitForSlots(.init(inUse: 1, queued: 0))
        #expect(try await bench.end() == .notSSH(.http))
        first.close()
    }

    @Test("a browser that gets a warm tunnel is refused and counted, too")
    func requestOnWarmTunnel() async throws {
        let bench = try await Bench(
            try ScriptedEndpoint.open { connection in
                try connection.send(Array("SSH-2.0-test\r\n".utf8))
                try connection.echo()
            })
        var specification = try Bench.specification()
        specification.warm = 1
        let port = try #require(try await bench.add(specification).first).port
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await eventually("a tunnel is warm") { await bench.states().contains(.warm) }
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await onThread { try client.write(Self.request) }
        #expect(try await onThread { try Self.isReset(client) })
        #expect(try await bench.end() == .notSSH(.http))
        #expect(await refusals(bench).count == 1)
        first.close()
    }

    @Test(
        "an SSH client, another port's client and a Unix socket's are not judged",
        arguments: [22, 3_389, 0] as [UInt16])
    func others(remotePort: UInt16) async throws {
        let heard = Heard()
        let bench = try await Bench(try Self.listening(heard))
        let folder = try TemporaryDirectory()
        var specification = try Bench.specification(local: remotePort == 0 ? .path(folder("s")) : .port(0))
        if remotePort != 0 { specification.route.remotePort = remotePort }
        let address = try #require(try await bench.add(specification).first)
        let text = remotePort == 22 ? "SSH-2.0-OpenSSH_9.2p1\r\n" : Self.request
        let client = try await onThread {
            remotePort == 0
                ? try LoopbackSocket.connect(path: address.host) : try LoopbackSocket.connect(port: address.port)
        }
        try await onThread { try client.write(text) }
        try await eventually("it arrived") { heard.text == text }
        client.close()
        #expect(try await bench.end() == .localClosed)
        #expect(await refusals(bench).count == 0)
    }

    // MARK: Slots

    @Test("an interactive tunnel gets the slot of a client that sends nothing, and of no other")
    func silentClientsGiveWay() async throws {
        let bench = try await Bench(try ScriptedEndpoint.echo(), slots: 2, patience: .zero)
        let port = try await bench.forward()
        let talker = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try client.write("SSH-2.0-x")
            _ = try client.read(exactly: 9)
            return client
        }
        let silent = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open, .open])
        let (handle, waiting) = try await bench.connect(waitsForTarget: false, priority: .interactive)
        try await eventually("it is open") { handle.snapshot.state == .open }
        #expect(try await bench.end() == .silent)
        #expect(try await onThread { try Self.isReset(silent) })
        // With nothing but clients that have spoken it waits.
        let (second, waitingToo) = try await bench.connect(waitsForTarget: false, priority: .interactive)
        try await bench.waitForSlots(.init(inUse: 2, queued: 1))
        #expect(second.snapshot.state == .queued)
        try await onThread {
            try talker.write("still")
            #expect(try talker.read(exactly: 5) == Array("still".utf8))
        }
        #expect(bench.ends.count == 1)
        second.close(.requested("enough"))
        handle.close(.requested("enough"))
        talker.close()
        // They own the far ends of their tunnels.
        withExtendedLifetime((waiting, waitingToo)) {}
    }

    @Test("a client that spoke after its tunnel had opened keeps its slot")
    func lateClient() async throws {
        let bench = try await Bench(try ScriptedEndpoint.echo(), slots: 1, patience: .zero)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        try await onThread {
            try client.write("SSH-2.0-x")
            _ = try client.read(exactly: 9)
        }
        let (handle, waiting) = try await bench.connect(waitsForTarget: false, priority: .interactive)
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        try await onThread {
            try client.write("still")
            #expect(try client.read(exactly: 5) == Array("still".utf8))
        }
        #expect(bench.ends.isEmpty)
        handle.close(.requested("enough"))
        client.close()
        withExtendedLifetime(waiting) {}
    }
}
