import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import Bounds

@Suite struct BlockingFlightsTests {
    /// Work that waits at a gate and counts how often it was done.
    private final class Work: Sendable {
        let gate = DispatchSemaphore(value: 0)
        let begun = Atomic(0)

        @Sendable func callAsFunction() -> Int {
            let number = begun.add(1, ordering: .relaxed).newValue
            gate.wait()
            return number
        }
    }

    private func value(_ outcome: BlockingFlights<String, Int>.Outcome) -> Int? {
        if case .done(let value) = outcome { return value }
        return nil
    }

    @Test("one call runs for a key, and those that ask meanwhile share the next one")
    func sharing() async throws {
        let flights = BlockingFlights<String, Int>(pool: BlockingPool(limit: 8))
        let work = Work()
        let first = Task { value(await flights.run("a", within: .seconds(60), work.callAsFunction)) }
        try await eventually("it has begun") { work.begun.load(ordering: .relaxed) == 1 }
        let later = (0..<20).map { _ in
            Task { value(await flights.run("a", within: .seconds(60), work.callAsFunction)) }
        }
        let other = await flights.run("b", within: .seconds(60)) { 7 }
        #expect(value(other) == 7, "another key is not held up")
        #expect(work.begun.load(ordering: .relaxed) == 1)
        try await eventually("all wait") { flights.waiting == 21 }
        work.gate.signal()
        #expect(await first.value == 1)
        work.gate.signal()
        for task in later { #expect(await task.value == 2) }
        #expect(flights.underWay(for: .zero).isEmpty)
    }

    @Test("a caller waits no longer than its limit, and work that hangs holds one thread")
    func limits() async throws {
        let flights = BlockingFlights<String, Int>(pool: BlockingPool(limit: 8))
        let work = Work()
        for _ in 0..<5 {
            guard case .late = await flights.run("a", within: .milliseconds(1), work.callAsFunction) else {
                throw TestFailure("it did not hang")
            }
        }
        #expect(work.begun.load(ordering: .relaxed) == 1)
        #expect(flights.underWay(for: .zero) == ["a"])
        work.gate.signal()
        // Nobody waits for the next one any more, so it is not begun.
        try await eventually("it is over") { flights.underWay(for: .zero).isEmpty }
        #expect(work.begun.load(ordering: .relaxed) == 1)
    }

    @Test("no caller is late once only computation is left, and one of the next call has its whole limit")
    func computation() async throws {
        let flights = BlockingFlights<String, Int>(pool: BlockingPool(limit: 8))
        let work = Work()
        let limit = Duration.milliseconds(1)
        let first = Task {
            value(
                await flights.run("a", within: limit) {
                    flights.cannotHangAnyMore("a")
                    return work()
                })
        }
        try await eventually("it has begun") { work.begun.load(ordering: .relaxed) == 1 }
        let second = Task { value(await flights.run("a", within: .seconds(600)) { 7 }) }
        try await eventually("both wait") { flights.waiting == 2 }
        #expect(flights.underWay(for: .zero).isEmpty)
        // Late callers are looked for each quarter of a second. This one is late, so the first would have been, too.
        let hanging = Task { await flights.run("b", within: limit, work.callAsFunction) }
        guard case .late = await hanging.value else { throw TestFailure("it did not hang") }
        #expect(flights.waiting == 2)
        work.gate.signal()
        work.gate.signal()
        #expect(await first.value == 1)
        #expect(await second.value == 7)
    }

    @Test("a caller that is cancelled leaves at once")
    func cancellation() async throws {
        let flights = BlockingFlights<String, Int>(pool: BlockingPool(limit: 8))
        let work = Work()
        let task = Task {
            if case .cancelled = await flights.run("a", within: .seconds(600), work.callAsFunction) { return true }
            return false
        }
        try await eventually("it has begun") { work.begun.load(ordering: .relaxed) == 1 }
        task.cancel()
        #expect(await task.value)
        let early = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            if case .cancelled = await flights.run("b", within: .seconds(600), { 1 }) { return true }
            return false
        }
        #expect(await early.value)
        work.gate.signal()
    }
}
