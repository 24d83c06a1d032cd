import Glibc
import OpenSSL
import TestSupport
import Testing
import WebSocket

/// The built `wsecho` over TCP and TLS.
@Suite struct WSEchoTests {
    private static func run(_ arguments: String...) async throws -> CommandResult {
        try await ChildProcess.run(BuiltProducts.wsecho, arguments, environment: [:])
    }

    /// Upgrades, sends a fragmented text, and closes.
    private static func converse(read: () throws -> [UInt8], write: ([UInt8]) throws -> Void) throws -> [UInt8] {
        var head = ""
        while !head.contains("\r\n\r\n") { head += String(decoding: try read(), as: UTF8.self) }
        guard let line = head.split(separator: "\r\n").first(where: { $0.hasPrefix("Sec-WebSocket-Key:") }),
            let key = line.split(separator: " ").last
        else { throw TestFailure(head) }
        func frame(_ opcode: Opcode, _ text: String, _ isFinal: Bool = true) -> [UInt8] {
            FrameEncoder.frame(opcode, isFinal: isFinal, payload: Array(text.utf8), maskingKey: nil)
        }
        try write(UpgradeResponse.accepting(key: String(key)) + frame(.text, "gr", false))
        try write(frame(.ping, "!") + frame(.continuation, "üße") + [0x88, 2, 3, 0xE8])
        var received: [UInt8] = []
        // Pong, text and Close, each masked.
        while received.count < 7 + 6 + 7 + 8 {
            let more = try read()
            if more.isEmpty { break }
            received += more
        }
        return received
    }

    private static func expectEcho(_ received: [UInt8]) {
        var bytes = received
        var server = WebSocketStateMachine(role: .server)
        var seen: [String] = []
        bytes.withUnsafeMutableBytes { buffer in
            var offset = 0
            while let event = server.next(in: buffer, at: &offset) {
                switch event {
                case .pong(let payload): seen.append("pong \(String(decoding: payload, as: UTF8.self))")
                case .data(let range, .text, true):
                    seen.append("text \(String(decoding: buffer[range], as: UTF8.self))")
                case .close(let frame): seen.append("close \(frame.code?.rawValue ?? 0)")
                default: seen.append("\(event)")
                }
            }
        }
        #expect(seen == ["pong !", "text grüße", "close 1000"])
    }

    @Test func itEchoesOverTCPAndEndsCleanly() async throws {
        let report = Report<[UInt8]>()
        let server = try LoopbackServer { socket in
            report.add(try Self.converse(read: { try socket.read() }, write: { try socket.write($0) }))
        }
        let result = try await Self.run("ws://127.0.0.1:\(server.port)/echo")
        #expect(result.code == 0, "\(result)")
        Self.expectEcho(try #require(report.all.first))
    }

    @Test func itEchoesOverTLSAndVerifiesTheServer() async throws {
        let report = Report<[UInt8]>()
        let rogue = try RogueEndpoint(
            certificate: { $0.names = [.dns("localhost")] },
            serve: { peer in
                report.add(try Self.converse(read: { try peer.read() }, write: { try peer.write($0) }))
                try peer.end()
            })
        let roots = try #require(rogue.environment["AWS_CA_BUNDLE"])
        let url = "wss://localhost:\(rogue.server.port)/"
        let result = try await Self.run(url, roots)
        #expect(result.code == 0, "\(result)")
        Self.expectEcho(try #require(report.all.first))
        let untrusted = try await Self.run(url)
        #expect(untrusted.code == 75 && untrusted.errors.contains("not trusted"), "\(untrusted)")
    }

    @Test func itSaysWhatWentWrong() async throws {
        #expect(try await Self.run("http://127.0.0.1/").code == 64)
        let refused = try await Self.run("ws://127.0.0.1:\(try freePort())/")
        #expect(refused.code == 75 && refused.errors.contains("refused"), "\(refused)")
        let masked = try LoopbackServer { socket in
            let key = try socket.readText().split(separator: "\r\n").first { $0.hasPrefix("Sec-WebSocket-Key:") }
            guard let key = key?.split(separator: " ").last else { return }
            try socket.write(UpgradeResponse.accepting(key: String(key)) + [0x81, 0x80, 0, 0, 0, 0])
            while try !socket.read().isEmpty {}
        }
        let violation = try await Self.run("ws://127.0.0.1:\(masked.port)/")
        #expect(violation.code == 76 && violation.errors.contains("masked"), "\(violation)")
    }
}
