import Synchronization
import TestSupport
import Testing

@testable import Soak

/// The two sides of a session without anything between them, and with somebody between them who cheats.
@Suite struct ConversationTests {
    private func play(
        _ conversation: Conversation, target: @escaping @Sendable (LoopbackSocket) throws -> Void
    ) async throws -> String? {
        let server = try LoopbackServer(target)
        let port = server.port
        return try await onThread {
            let socket = try LoopbackSocket.connect(port: port)
            defer { socket.close() }
            return try conversation.play(on: socket)
        }
    }

    private static func answer(_ socket: LoopbackSocket) throws {
        let head = try socket.read(exactly: Conversation.headLength)
        guard let conversation = Conversation(head: head) else { throw TestFailure("no head: \(head)") }
        try conversation.answer(on: socket)
    }

    @Test(arguments: [
        Conversation(up: 100_000, down: 0), Conversation(up: 0, down: 100_000),
        Conversation(up: 3_000_000, down: 3_000_000, isDuplex: true), Conversation(rounds: 50, up: 64, down: 64),
        Conversation(up: 0, down: 0, halfCloses: true), Conversation(up: 70_000, down: 1, halfCloses: true),
        Conversation(up: 2_000_000, down: 2_000_000, isDuplex: true, halfCloses: true),
    ])
    func oneThatNobodyDisturbsIsWhole(conversation: Conversation) async throws {
        #expect(try await play(conversation, target: Self.answer) == nil)
    }

    @Test(arguments: Traffic.allCases) func everyKindOfTrafficIsPossible(traffic: Traffic) async throws {
        var random = SeededGenerator(seed: 3)
        #expect(try await play(traffic.conversation(&random), target: Self.answer) == nil)
    }

    @Test func whatIsMissingIsTold() async throws {
        let conversation = Conversation(up: 10, down: 10)
        let early = try await play(conversation) { _ = try $0.read(exactly: Conversation.headLength + 10) }
        #expect(early == "0 of 10 bytes came in round 1 of 1")
        let silent = try await play(conversation) { socket in
            _ = try socket.read(exactly: Conversation.headLength + 10)
            try Conversation.downward.send(10, on: socket)
        }
        #expect(silent == "the target did not say whether it got all")
        let lost = try await play(conversation) { socket in
            _ = try socket.read(exactly: Conversation.headLength + 10)
            try Conversation.downward.send(10, on: socket)
            try socket.write([Conversation.broken])
        }
        #expect(lost == "the target did not get all")
    }

    @Test func anAlteredByteIsNoMissingOne() async throws {
        await #expect(throws: Altered.self) {
            _ = try await play(Conversation(up: 0, down: 10)) { socket in
                _ = try socket.read(exactly: Conversation.headLength)
                var bytes = Conversation.downward.bytes(0..<10)
                bytes[7] ^= 1
                try socket.write(bytes)
            }
        }
        // And at the target.
        let seen = Seen()
        let server = try LoopbackServer { socket in
            do { try Self.answer(socket) } catch let altered as Altered { seen.note(altered.description) }
        }
        let port = server.port
        try await onThread {
            let socket = try LoopbackSocket.connect(port: port)
            try socket.write(Conversation(up: 4, down: 0).head + [1, 2, 3, 4])
            _ = try socket.readToEndOrReset()
        }
        try await eventually("the target complains") { !seen.all.isEmpty }
    }

    @Test func aHeadThatIsNoneIsRefused() {
        let conversation = Conversation(rounds: 3, up: 5, down: 6, isDuplex: true)
        #expect(Conversation(head: conversation.head) == conversation)
        #expect(Conversation(head: []) == nil)
        #expect(Conversation(head: [UInt8](repeating: 0xFF, count: Conversation.headLength)) == nil)
    }
}

/// What was said on other threads.
private final class Seen: Sendable {
    private let list = Mutex<[String]>([])
    func note(_ text: String) { list.withLock { $0.append(text) } }
    var all: [String] { list.withLock { $0 } }
}
