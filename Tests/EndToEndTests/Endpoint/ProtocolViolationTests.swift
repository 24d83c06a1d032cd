import Failures
import TestSupport
import Testing
import WebSocket

/// What an endpoint must not send: the tunnel is closed with its reason, and nothing of it is delivered as data.
@Suite struct ProtocolViolationTests {
    struct Violation: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// Inside TLS, after the first message.
        var bytes: [UInt8]
        /// What the client must answer with.
        var code: UInt16
    }

    /// RFC 6455, sections 5.1, 5.2, 5.4, 5.5 and 7.4.1.
    static let violations = [
        Violation(testDescription: "text message", bytes: [0x81, 5] + Array("hello".utf8), code: 1003),
        Violation(testDescription: "masked frame", bytes: [0x82, 0x84, 1, 2, 3, 4, 5, 6, 7, 8], code: 1002),
        Violation(testDescription: "reserved bit", bytes: [0xC2, 4, 1, 2, 3, 4], code: 1002),
        Violation(testDescription: "reserved opcode", bytes: [0x83, 4, 1, 2, 3, 4], code: 1002),
        Violation(testDescription: "length in a longer form", bytes: [0x82, 126, 0, 4, 1, 2, 3, 4], code: 1002),
        Violation(
            testDescription: "length with its highest bit", bytes: [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 4], code: 1002),
        Violation(
            testDescription: "control frame of 126 bytes",
            bytes: [0x89, 126, 0, 126] + [UInt8](repeating: 7, count: 126),
            code: 1002),
        Violation(testDescription: "fragmented ping", bytes: [0x09, 1, 7], code: 1002),
        Violation(testDescription: "continuation of nothing", bytes: [0x80, 4, 1, 2, 3, 4], code: 1002),
        Violation(testDescription: "message inside a message", bytes: [0x02, 1, 7, 0x82, 1, 8], code: 1002),
        Violation(testDescription: "close with one byte", bytes: [0x88, 1, 3], code: 1002),
        Violation(testDescription: "close with code 1005", bytes: [0x88, 2, 0x03, 0xED], code: 1002),
        Violation(
            testDescription: "close reason that is no UTF-8", bytes: [0x88, 4, 0x03, 0xE8, 0xC3, 0x28], code: 1007),
    ]

    @Test(arguments: violations) func isAnsweredWithItsCodeAndNeverDelivered(violation: Violation) async throws {
        let closes = Report<[UInt8]>()
        let rogue = try RogueEndpoint { peer in
            try peer.acceptUpgrade()
            try peer.send(.binary, Array("good".utf8))
            try peer.write(violation.bytes)
            closes.add(try peer.waitForFrame(.close))
            try peer.end()
        }
        try await Scene.alone(environment: rogue.environment) { daemon in
            let (_, delivered) = try await daemon.proxyWithOpenInput()
            // A message that was begun in good order may have been delivered before the violation.
            #expect(delivered.starts(with: Array("good".utf8)) && delivered.count <= 5, "\(delivered)")
            try await daemon.waitForFailure(.webSocket)
            try await eventually("the endpoint was told") { !closes.all.isEmpty }
            let close = try #require(closes.all.first)
            #expect(close.starts(with: [UInt8(violation.code >> 8), UInt8(violation.code & 0xFF)]), "\(close)")
        }
    }

    @Test func anEndOfTLSWithoutACloseFrameIsAnError() async throws {
        let rogue = try RogueEndpoint { peer in
            try peer.acceptUpgrade()
            try peer.send(.binary, Array("good".utf8))
            try peer.end()
        }
        try await expectBrokenEnd(rogue)
    }

    @Test func anEndOfTCPWithoutTheEndOfTLSIsAnError() async throws {
        let rogue = try RogueEndpoint { peer in
            try peer.acceptUpgrade()
            try peer.send(.binary, Array("good".utf8))
        }
        try await expectBrokenEnd(rogue)
    }

    /// All that came is delivered, and the end is not taken for a proper one.
    private func expectBrokenEnd(_ rogue: RogueEndpoint) async throws {
        try await Scene.alone(environment: rogue.environment) { daemon in
            let (_, delivered) = try await daemon.proxyWithOpenInput()
            #expect(delivered == Array("good".utf8))
            try await eventually("the status has the failure") { try await !daemon.status().recentFailures.isEmpty }
        }
    }

    @Test func aClose1011WithAReasonIsShownVerbatim() async throws {
        let rogue = try RogueEndpoint { peer in
            try peer.acceptUpgrade()
            try peer.sendClose(1011, "Grüße: the target went away")
            _ = try peer.waitForFrame(.close)
            try peer.end()
        }
        try await Scene.alone(environment: rogue.environment) { daemon in
            let (result, delivered) = try await daemon.proxyWithOpenInput()
            #expect(result.code != 0, "\(result)")
            #expect(delivered.isEmpty)
            #expect(result.errors.contains("1011"), "\(result)")
            #expect(result.errors.contains("Grüße: the target went away"), "\(result)")
            #expect(result.errors.contains(RogueEndpoint.address), "\(result)")
        }
    }

    @Test func aCleanCloseEndsTheProxyWithZero() async throws {
        let rogue = try RogueEndpoint { peer in
            try peer.acceptUpgrade()
            try peer.send(.binary, Array("all of it".utf8))
            try peer.sendClose(1000, "")
            _ = try peer.waitForFrame(.close)
            try peer.end()
        }
        try await Scene.alone(environment: rogue.environment) { daemon in
            let (result, delivered) = try await daemon.proxyWithOpenInput()
            #expect(result.code == 0, "\(result)")
            #expect(delivered == Array("all of it".utf8))
        }
    }

    @Test func pingsBetweenFragmentsAreAnsweredAndFragmentsAreJoined() async throws {
        let pongs = Report<[UInt8]>()
        let rogue = try RogueEndpoint { peer in
            try peer.acceptUpgrade()
            try peer.send(.binary, Array("one ".utf8), isFinal: false)
            try peer.send(.ping, Array("are you there".utf8))
            try peer.send(.continuation, Array("two".utf8), isFinal: false)
            try peer.send(.pong, [])
            try peer.send(.continuation, [], isFinal: true)
            pongs.add(try peer.waitForFrame(.pong))
            try peer.sendClose(1000, "")
            _ = try peer.waitForFrame(.close)
            try peer.end()
        }
        try await Scene.alone(environment: rogue.environment) { daemon in
            let (result, delivered) = try await daemon.proxyWithOpenInput()
            #expect(result.code == 0, "\(result)")
            #expect(String(decoding: delivered, as: UTF8.self) == "one two")
            #expect(pongs.all == [Array("are you there".utf8)])
        }
    }
}

extension EicedDaemon {
    /// `eicectl proxy` as a plain pipe whose input stays open, and what it delivered.
    func proxyWithOpenInput() async throws -> (CommandResult, [UInt8]) {
        let arguments = ["proxy", RogueEndpoint.address, "22", "--stdio"] + RogueEndpoint.pinned
        let command = try startEicectl(arguments, input: .pipe)
        let result = try await command.result(of: arguments.joined(separator: " "))
        return (result, command.standardOutputBytes)
    }

    /// Waits until a failure of `kind` stands in the status, and the same sentence in the log.
    func waitForFailure(_ kind: Failure.Kind) async throws {
        try await eventually("a failure \(kind.rawValue) in status and log") {
            try await self.status().recentFailures.contains {
                $0.failure.kind == kind && self.log.contains($0.failure.sentence)
            }
        }
    }
}
