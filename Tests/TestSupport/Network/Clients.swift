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

    private final class Record: Sendable {
        let outcome = Mutex(Outcome())
    }

    /// All that the thread holds, so that it ends with this object, if a test fails before it stops it.
    private let record = Record()

    /// - Parameters:
    ///   - ports: each in its turn.
    ///   - owner: who they are; this process's user when nil.
    ///   - pause: until the next connection, after so many of them.
    public init(
        of ports: [UInt16], as owner: uid_t? = nil,
        every pause: @escaping @Sendable (Int) -> Duration = { _ in .milliseconds(10) }
    ) {
        startThread { [record] in
            while true {
                for port in ports {
                    let refusal: String?
                    do {
                        try LoopbackSocket.connect(port: port, owner: owner).close()
                        refusal = nil
                    } catch {
                        refusal = "\(port): \(error)"
                    }
                    let (connected, isStopped) = record.outcome.withLock { outcome in
                        if let refusal { outcome.refused.append(refusal) } else { outcome.connected += 1 }
                        return (outcome.connected, outcome.isStopped)
                    }
                    if isStopped { return record.outcome.withLock { $0.isOver = true } }
                    usleep(useconds_t(pause(connected) / .microseconds(1)))
                }
            }
        }
    }

    deinit { record.outcome.withLock { $0.isStopped = true } }

    public func stop() async throws -> (connected: Int, refused: [String]) {
        record.outcome.withLock { $0.isStopped = true }
        try await eventually("the clients stop") { self.record.outcome.withLock { $0.isOver } }
        return record.outcome.withLock { ($0.connected, $0.refused) }
    }
}
