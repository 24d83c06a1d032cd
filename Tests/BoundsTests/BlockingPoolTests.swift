import Bounds
import Dispatch
import Synchronization
import TestSupport
import Testing

@Suite struct BlockingPoolTests {
    /// Blocks the threads of a pool until it is opened.
    private final class Gate: Sendable {
        private struct State {
            var running = 0
            var most = 0
            var done: [Int] = []
        }

        private let state = Mutex(State())
        private let opened = DispatchSemaphore(value: 0)

        func job(_ number: Int) {
            state.withLock { state in
                state.running += 1
                state.most = max(state.most, state.running)
            }
            opened.wait()
            opened.signal()
            state.withLock { state in
                state.running -= 1
                state.done.append(number)
            }
        }

        func open() { opened.signal() }

        var running: Int { state.withLock(\.running) }
        /// The most jobs that ran at a time.
        var most: Int { state.withLock(\.most) }
        /// The jobs that are done, in the order of their ends.
        var done: [Int] { state.withLock(\.done) }
    }

    @Test("jobs run beside each other, as many as the pool has threads")
    func limit() async throws {
        let (pool, gate) = (BlockingPool(limit: 3), Gate())
        for number in 0..<8 { pool.run { gate.job(number) } }
        try await eventually("three jobs run") { gate.running == 3 }
        gate.open()
        try await eventually("all jobs are done") { gate.done.count == 8 }
        #expect(gate.most == 3)
    }

    @Test("jobs of one thread run in the order in which they came")
    func order() async throws {
        let (pool, gate) = (BlockingPool(limit: 1), Gate())
        for number in 0..<20 { pool.run { gate.job(number) } }
        try await eventually("the first job runs") { gate.running == 1 }
        gate.open()
        try await eventually("all jobs are done") { gate.done.count == 20 }
        #expect(gate.done == Array(0..<20))
    }
}
