import Failures
import Synchronization

/// Answers kept for a while, on a clock that counts sleep; one piece of work at a time for each key. Failures are not kept.
public final class ExpiringCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        var value: Value
        var end: ContinuousClock.Instant
    }

    private struct State {
        var timeToLive: Duration
        var entries: [Key: Entry] = [:]
        /// Counts calls of `forget`.
        var forgets: UInt64 = 0
        /// The number of the last `forget` of each key, so that an answer requested before it is not stored after it. Empty
        /// while nothing is fetched.
        var forgotten: [Key: UInt64] = [:]
        /// Fetches under way. Of one key there may be several: a fetch whose callers all left may still run.
        var fetches = 0

        mutating func end() {
            fetches -= 1
            if fetches == 0 { forgotten = [:] }
        }
    }

    private let now: @Sendable () -> ContinuousClock.Instant
    private let flights = SingleFlight<Key, Value>()
    private let state: Mutex<State>

    public init(
        timeToLive: Duration, now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        state = Mutex(State(timeToLive: timeToLive))
        self.now = now
    }

    /// Of what is fetched from now on.
    public func apply(timeToLive: Duration) { state.withLock { $0.timeToLive = timeToLive } }

    /// The kept value while it lives, else the outcome of `work`, shared by all who ask meanwhile.
    ///
    /// - Parameter margin: a kept value that lives no longer than this is fetched anew; others get it meanwhile.
    public func value(
        _ key: Key, leaving margin: Duration = .zero, what: String,
        _ work: @escaping @Sendable () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        if let kept = kept(key), margin == .zero || end(of: key).map({ $0 - now() > margin }) ?? false { return kept }
        return try await flights.run(key, what: what) { () throws(Failure) in try await self.fetch(key, work) }
    }

    /// Until when the value lives; nil where there is none.
    public func end(of key: Key) -> ContinuousClock.Instant? { state.withLock { $0.entries[key]?.end } }

    /// The value, while it lives.
    public func kept(_ key: Key) -> Value? {
        let instant = now()
        return state.withLock { state in
            guard let entry = state.entries[key] else { return nil }
            guard instant < entry.end else {
                state.entries[key] = nil
                return nil
            }
            return entry.value
        }
    }

    public func forget(_ key: Key) {
        state.withLock { state in
            state.entries[key] = nil
            guard state.fetches > 0 else { return }
            state.forgets += 1
            state.forgotten[key] = state.forgets
        }
    }

    /// Whether any fetch is under way, one that nobody waits for any more included.
    var isFetching: Bool { state.withLock { $0.fetches > 0 } }

    private func fetch(_ key: Key, _ work: @Sendable () async throws(Failure) -> Value) async throws(Failure) -> Value {
        let asked = state.withLock { state in
            state.fetches += 1
            return state.forgets
        }
        let value: Value
        do throws(Failure) {
            value = try await work()
        } catch {
            state.withLock { $0.end() }
            throw error
        }
        let instant = now()
        state.withLock { state in
            defer { state.end() }
            guard state.forgotten[key].map({ $0 <= asked }) ?? true else { return }
            state.entries = state.entries.filter { instant < $0.value.end }
            state.entries[key] = Entry(value: value, end: instant + state.timeToLive)
        }
        return value
    }
}
