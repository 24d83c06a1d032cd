import Synchronization
import TestSupport

/// The service behind every instance but sshd's: takes and gives what a conversation's head announces.
final class SoakTarget: Sendable {
    private let server: LoopbackServer
    private let record: Record

    private final class Record: Sendable {
        let altered = Mutex<[String]>([])
    }

    init() throws {
        let record = Record()
        self.record = record
        server = try LoopbackServer { socket in
            let head = try socket.read(exactly: Conversation.headLength)
            // A connection that was cut that early has none.
            guard head.count == Conversation.headLength else { return }
            do {
                guard let conversation = Conversation(head: head) else {
                    throw Altered(description: "the head of a session is none")
                }
                try conversation.answer(on: socket)
            } catch let altered as Altered {
                record.altered.withLock { $0.append("at the target: \(altered)") }
            }
        }
    }

    var port: UInt16 { server.port }

    /// Bytes that came and that nobody sent.
    var altered: [String] { record.altered.withLock { $0 } }
}
