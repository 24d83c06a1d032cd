import Failures
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct ExpiringCacheTests {
    /// Work that waits until the test lets it go on, whoever waits for it.
    private final class Desk: Sendable {
        private let calls = Mutex<[CheckedContinuation<Int, Never>?]>([])

        var count: Int { calls.withLock { $0.count } }

        func work() async -> Int {
            await withCheckedContinuation { continuation in calls.withLock { $0.append(continuation) } }
        }

        /// Gives the call of that number, from 0, its answer.
        func answer(_ number: Int, _ value: Int) {
            calls.withLock { calls in
                let call = calls[number]
                calls[number] = nil
                return call
            }?.resume(returning: value)
        }
    }

    private final class Clock: Sendable {
        private let start = ContinuousClock.now
        private let seconds = Atomic(0)
        func advance(_ by: Int) { seconds.add(by, ordering: .relaxed) }
        var now: ContinuousClock.Instant { start + .seconds(seconds.load(ordering: .relaxed)) }
    }

    private let clock = Clock()
    private let desk = Desk()
    private let cache: ExpiringCache<String, Int>

    init() { cache = ExpiringCache(timeToLive: .seconds(60)) { [clock] in clock.now } }

    private func ask(_ key: String = "a", leaving margin: Duration = .zero) -> Task<Int, any Error> {
        Task { [cache, desk] in try await cache.value(key, leaving: margin, what: "cannot ask") { await desk.work() } }
    }

    private func waitForCalls(_ count: Int) async throws {
        try await eventually("\(count) calls are made") { desk.count == count }
    }

    @Test("an answer that was requested before forget is given to its caller and not stored")
    func forgetDuringAFetch() async throws {
        let asked = ask()
        try await waitForCalls(1)
        cache.forget("a")
        cache.forget("another")
        desk.answer(0, 1)
        #expect(try await asked.value == 1)
        #expect(cache.kept("a") == nil)
        let again = ask()
        try await waitForCalls(2)
        desk.answer(1, 2)
        #expect(try await again.value == 2)
        #expect(cache.kept("a") == 2)
    }

    @Test("forget of another key does not keep an answer from being stored")
    func forgetOfAnotherKey() async throws {
        let asked = ask()
        try await waitForCalls(1)
        cache.forget("b")
        desk.answer(0, 1)
        _ = try await asked.value
        #expect(cache.kept("a") == 1)
    }

    @Test("an abandoned fetch that ends after forget and a newer fetch does not replace the newer answer")
    func abandonedFetch() async throws {
        let abandoned = ask()
        try await waitForCalls(1)
        abandoned.cancel()
        _ = await #expect(throws: Failure.self) { try await abandoned.value }
        cache.forget("a")
        let asked = ask()
        try await waitForCalls(2)
        desk.answer(1, 2)
        #expect(try await asked.value == 2)
        desk.answer(0, 1)
        // The abandoned fetch has ended once a later one of another key has: the cache knows of no other then.
        let other = ask("b")
        try await waitForCalls(3)
        desk.answer(2, 3)
        #expect(try await other.value == 3)
        try await eventually("all fetches have ended") { cache.isFetching == false }
        #expect(cache.kept("a") == 2)
    }

    @Test("an answer lives as long as it should and not longer")
    func life() async throws {
        let asked = ask()
        try await waitForCalls(1)
        desk.answer(0, 1)
        _ = try await asked.value
        #expect(cache.end(of: "a") == clock.now + .seconds(60))
        clock.advance(59)
        #expect(cache.kept("a") == 1)
        clock.advance(1)
        #expect(cache.kept("a") == nil)
    }

    @Test("a changed time to live counts for what is fetched from then on")
    func changedLife() async throws {
        let old = ask()
        try await waitForCalls(1)
        desk.answer(0, 1)
        _ = try await old.value
        cache.apply(timeToLive: .seconds(5))
        #expect(cache.end(of: "a") == clock.now + .seconds(60))
        let fresh = ask("b")
        try await waitForCalls(2)
        desk.answer(1, 2)
        _ = try await fresh.value
        #expect(cache.end(of: "b") == clock.now + .seconds(5))
    }

    @Test("a failure is not stored")
    func failuresAreNotStored() async throws {
        let failure = Failure(.serviceUnavailable, "no")
        _ = await #expect(throws: failure) {
            try await cache.value("a", what: "cannot ask") { () throws(Failure) in throw failure }
        }
        #expect(cache.kept("a") == nil && !cache.isFetching)
        #expect(try await cache.value("a", what: "cannot ask") { 1 } == 1)
    }
}
