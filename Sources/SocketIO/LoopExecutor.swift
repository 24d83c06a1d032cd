import CLinux
import Dispatch
import Synchronization

/// Runs a ``Loop``'s work on its serial queue, and wakes the loop when it lingers so that work never waits for that.
final class LoopExecutor: SerialExecutor {
    let queue: DispatchQueue
    /// An eventfd in the loop's readiness set.
    let wakeUp: FileDescriptor
    private let isLingering = Atomic(false)
    private let pending = Atomic(0)

    init(label: String) throws(SystemError) {
        queue = DispatchQueue(label: label)
        let event = eventfd(0, CInt(EFD_NONBLOCK | EFD_CLOEXEC))
        guard event >= 0 else { throw SystemError("create an eventfd") }
        wakeUp = FileDescriptor(takingOwnership: event)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        enqueue { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func enqueue(_ body: @escaping @Sendable () -> Void) {
        // Sequentially consistent on both sides: either the lingering loop sees this work as pending, or this sees
        // the loop lingering (beginLingering below does the same two steps the other way round).
        pending.add(1, ordering: .sequentiallyConsistent)
        queue.async {
            self.pending.subtract(1, ordering: .relaxed)
            body()
        }
        if isLingering.load(ordering: .sequentiallyConsistent) { wake() }
    }

    var hasPendingWork: Bool { pending.load(ordering: .relaxed) > 0 }

    /// Announces that the queue is about to wait. False when there is work, and nothing may wait.
    func beginLingering() -> Bool {
        isLingering.store(true, ordering: .sequentiallyConsistent)
        guard pending.load(ordering: .sequentiallyConsistent) == 0 else {
            isLingering.store(false, ordering: .relaxed)
            return false
        }
        return true
    }

    func endLingering() { isLingering.store(false, ordering: .relaxed) }

    func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }

    private func wake() { _ = eventfd_write(wakeUp.raw, 1) }

    /// Empties the eventfd, so that the next wake-up is a new edge.
    func acknowledgeWakeUp() {
        var count: eventfd_t = 0
        _ = eventfd_read(wakeUp.raw, &count)
    }
}
