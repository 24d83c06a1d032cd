import Dispatch
import Glibc
import Synchronization

/// Threads for work that would hold up a loop or one of Swift's own threads: getaddrinfo, fsync, files, a crowd's TLS handshakes. Started
/// when needed, ended after ten seconds without work; never Dispatch's own, which a handful of blocked jobs would exhaust.
public final class BlockingPool: Sendable {
    /// For what the daemon itself keeps: its state, its audit. Nothing else may hold these threads.
    public static let shared = BlockingPool(limit: 32)
    /// For files of the user's, on file systems that may hang. One thread for each file: see ``BlockingFlights``.
    public static let files = BlockingPool(limit: 64)

    /// For look-ups of names, which take ten seconds and more where a name server is silent.
    public static let names = BlockingPool(limit: 128)

    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var threads = 0
        var idle = 0
    }

    /// How many threads there are at most.
    public let limit: Int
    private let state = Mutex(State())
    private let available = DispatchSemaphore(value: 0)
    private static let idleSeconds = 10

    /// - Parameter limit: how many threads there are at most.
    public init(limit: Int) { self.limit = limit }

    /// Runs `job` on a thread of the pool, sooner or later. Jobs beyond the number of threads wait in order.
    public func run(_ job: @escaping @Sendable () -> Void) {
        let mustStart = state.withLock { state in
            state.jobs.append(job)
            guard state.jobs.count > state.idle, state.threads < limit else { return false }
            state.threads += 1
            return true
        }
        if mustStart, !startThread() {
            // No thread to be had: with none at all the job would never run.
            let orphaned = state.withLock { state in
                state.threads -= 1
                return state.threads == 0
            }
            if orphaned { drain() }
        }
        available.signal()
    }

    private func startThread() -> Bool {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<BlockingPool>.fromOpaque(context).takeRetainedValue().work() }
                return nil
            }, context.toOpaque())
        guard code == 0 else {
            context.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    private func work() {
        while true {
            state.withLock { $0.idle += 1 }
            let outcome = available.wait(timeout: .now() + .seconds(Self.idleSeconds))
            let (job, ends) = state.withLock { state in
                state.idle -= 1
                let job = state.jobs.isEmpty ? nil : state.jobs.removeFirst()
                let ends = job == nil && outcome == .timedOut
                if ends { state.threads -= 1 }
                return (job, ends)
            }
            if ends { return }
            job?()
        }
    }

    private func drain() {
        while let job = state.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) { job() }
    }
}
