import CLinux
import Dispatch
import Synchronization

/// Runs a ``Loop``'s work on its serial queue.
///
/// Work is collected here instead of in the queue: a loop that is awake takes it in its next turn, and one that waits for
/// traffic is woken by an eventfd, so that neither has to leave the queue and be called by Dispatch anew. Only for a loop at
/// rest is the queue asked for a call.
final class LoopExecutor: SerialExecutor {
    typealias Work = @Sendable () -> Void

    private enum Phase {
        /// Nobody looks for work: the queue must be asked.
        case asleep
        /// The loop will look for work before it waits or sleeps, or the queue was asked already.
        case awake
        /// The loop waits in the kernel: the eventfd must be written.
        case waiting
    }

    private struct State {
        var work: [Work] = []
        var phase = Phase.asleep
        var run: Work = {}
    }

    let queue: DispatchQueue
    /// An eventfd in the loop's readiness set.
    let wakeUp: FileDescriptor
    private let state = Mutex(State())

    init(label: String) throws(SystemError) {
        queue = DispatchQueue(label: label)
        let event = eventfd(0, CInt(EFD_NONBLOCK | EFD_CLOEXEC))
        guard event >= 0 else { throw SystemError("create an eventfd") }
        wakeUp = FileDescriptor(takingOwnership: event)
    }

    /// What the queue calls when there is work for a loop at rest. To be set before there is any.
    func setRun(_ run: @escaping Work) { state.withLock { $0.run = run } }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        enqueue { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func enqueue(_ body: @escaping Work) {
        let (phase, run) = state.withLock { state in
            state.work.append(body)
            defer { state.phase = .awake }
            return (state.phase, state.run)
        }
        switch phase {
        case .asleep: queue.async(execute: run)
        case .awake: break
        case .waiting: _ = eventfd_write(wakeUp.raw, 1)
        }
    }

    // MARK: For the loop, on the queue

    /// The loop is awake. Exchanges the work there is for `taken`, which is empty: two arrays take turns, and neither is ever
    /// allocated anew.
    func takeWork(into taken: inout [Work]) {
        state.withLock { state in
            state.phase = .awake
            swap(&state.work, &taken)
        }
    }

    /// The loop is quiet: room for more work than there is.
    func giveBackRoom() { state.withLock { $0.work.giveBackRoom() } }

    /// False when there is work: then the loop stays awake.
    func fallAsleep() -> Bool { enter(.asleep) }

    /// The same before a wait in the kernel that an eventfd can end.
    func beginWaiting() -> Bool { enter(.waiting) }

    private func enter(_ phase: Phase) -> Bool {
        state.withLock { state in
            guard state.work.isEmpty else { return false }
            state.phase = phase
            return true
        }
    }

    func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }

    /// Empties the eventfd, so that the next wake-up is a new edge.
    func acknowledgeWakeUp() {
        var count: eventfd_t = 0
        _ = eventfd_read(wakeUp.raw, &count)
    }
}
