import Glibc
import Synchronization

/// Connects again and again until it is stopped, leaves at once each time, and counts who was refused. On a thread of its own: in
/// Swift's pool, which has one thread a core, two of them would stop all tests, their own included.
public final class Clients: Sendable {
    private struct Outcome {
        var connected = 0
        var refused: [String] = []
        var isStopped = false
        var isOver = false
    }

    private let outcome = Mutex(Outcome())

    /// - Parameters:
    ///   - ports: each in its turn.
    ///   - owner: who they are; this process's user when nil.
    ///   - pause: until the next connection, after so many of them.
    public init(
        of ports: [UInt16], as owner: uid_t? = nil,
        every pause: @escaping @Sendable (Int) -> Duration = { _ in .milliseconds(10) }
    ) {
        startThread {
            while true {
                for port in ports {
                    do {
                        try LoopbackSocket.connect(port: port, owner: owner).close()
                        self.outcome.withLock { $0.connected += 1 }
                    } catch {
                        self.outcome.withLock { $0.refused.append("\(port): \(error)") }
                    }
                    let (connected, isStopped) = self.outcome.withLock { ($0.connected, $0.isStopped) }
                    if isStopped { return self.outcome.withLock { $0.isOver = true } }
                    usleep(useconds_t(pause(connected) / .microseconds(1)))
                }
            }
        }
    }

    public func stop() async throws -> (connected: Int, refused: [String]) {
        outcome.withLock { $0.isStopped = true }
        try await eventually("the clients stop") { self.outcome.withLock { $0.isOver } }
        return outcome.withLock { ($0.connected, $0.refused) }
    }
}
