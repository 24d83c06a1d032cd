import Failures
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct SingleFlightTests {
    private final class Work: Sendable {
        let begun = Atomic(0)
        let cancelled = Atomic(0)
        let gate = AsyncStream<Void>.makeStream()

        func run() async -> Int {
            let number = begun.add(1, ordering: .relaxed).newValue
            for await _ in gate.stream { break }
            if Task.isCancelled { cancelled.add(1, ordering: .relaxed) }
            return number
        }

        var count: Int { begun.load(ordering: .relaxed) }
    }

    private let flights = SingleFlight<String, Int>()
    private let work = Work()

    private func ask(_ key: String = "a") -> Task<Int, any Error> {
        Task { [flights, work] in try await flights.run(key, what: "cannot ask") { await work.run() } }
    }

    @Test("work that its last caller has left is cancelled, and the next caller begins anew")
    func theLastOneLeaves() async throws {
        let first = ask()
        try await eventually("the work has begun") { work.count == 1 }
        first.cancel()
        let failure = await #expect(throws: Failure.self) { try await first.value }
        #expect(failure?.kind == .deadline && failure?.what == "cannot ask")
        try await eventually("the work is cancelled") { work.cancelled.load(ordering: .relaxed) == 1 }
        let second = ask()
        try await eventually("the work has begun again") { work.count == 2 }
        // The stream of a gate whose reader was cancelled has ended: so does the work.
        #expect(try await second.value == 2)
    }

    @Test("work that was started for later callers goes on when a caller leaves")
    func startedWork() async throws {
        flights.start("a") { [work] in await work.run() }
        flights.start("a") { [work] in await work.run() }
        try await eventually("the work has begun") { work.count == 1 }
        let leaves = ask()
        leaves.cancel()
        _ = await #expect(throws: Failure.self) { try await leaves.value }
        #expect(work.cancelled.load(ordering: .relaxed) == 0)
        let stays = ask()
        work.gate.continuation.yield()
        work.gate.continuation.finish()
        #expect(try await stays.value >= 1)
        #expect(work.cancelled.load(ordering: .relaxed) == 0)
    }

    @Test("work on different keys goes side by side")
    func keys() async throws {
        let tasks = [ask("a"), ask("b")]
        try await eventually("both have begun") { work.count == 2 }
        work.gate.continuation.finish()
        var values: Set<Int> = []
        for task in tasks { values.insert(try await task.value) }
        #expect(values == [1, 2])
    }

    @Test("a failure is the outcome of all who wait, and of nobody who comes later")
    func failures() async throws {
        let failure = Failure(.helperFailed, "broken")
        let count = Atomic(0)
        let fail: @Sendable () async throws(Failure) -> Int = { () throws(Failure) in
            count.add(1, ordering: .relaxed)
            throw failure
        }
        for _ in 0..<2 {
            #expect(await #expect(throws: Failure.self) { try await flights.run("a", what: "x", fail) } == failure)
        }
        #expect(count.load(ordering: .relaxed) == 2)
    }
}
