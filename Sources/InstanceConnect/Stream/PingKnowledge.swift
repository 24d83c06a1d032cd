import Bounds
import Synchronization
import Transport

/// Which endpoints have answered a ping: only for these does silence mean something. From any thread.
final class PingKnowledge: Sendable {
    private let answering = Mutex(Recent<Gateway, Bool>())

    func answers(_ gateway: Gateway) -> Bool { answering.withLock { $0.use(gateway, at: .now) } ?? false }
    func note(_ gateway: Gateway) { answering.withLock { $0.set(true, for: gateway, at: .now) } }
}
