import Dispatch
import Synchronization

/// Work that blocks, for all who ask for the same thing: one call for each key at a time, on a thread of a pool.
///
/// A caller that asks while a call runs gets the outcome of the next one, which all who ask meanwhile share: the outcome of the call that
/// runs may be older than the question. So a thing that hangs holds one thread, however many ask, and none of Swift's own.
public final class BlockingFlights<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    public enum Outcome: Sendable {
        case done(Value)
        /// The work was not done within the limit. It continues.
        case late
        /// The calling task was cancelled. The work continues.
        case cancelled
    }

    private struct Waiter {
        let continuation: CheckedContinuation<Outcome, Never>
        let limit: Duration
        let deadline: ContinuousClock.Instant

        init(_ continuation: CheckedContinuation<Outcome, Never>, _ limit: Duration) {
            self.continuation = continuation
            self.limit = limit
            deadline = .now + limit
        }
    }

    private struct Flight {
        var began: ContinuousClock.Instant
        var waiters: [UInt64: Waiter]
        /// Those of the next call, and its work.
        var next: [UInt64: Waiter] = [:]
        var work: (@Sendable () -> Value)?
        /// Nothing in the call can hang any more, so none of its callers is late, nor one of the next call.
        var cannotHang = false
    }

    private struct State {
        var flights: [Key: Flight] = [:]
        var nextNumber: UInt64 = 0
        /// Callers that were cancelled before their continuation was stored.
        var departed: Set<UInt64> = []
        var isWatched = false
    }

    private let pool: BlockingPool
    private let state = Mutex(State())
    /// How often callers are looked at whose time may be over. Calls that take less never meet it.
    private static var interval: DispatchTimeInterval { .milliseconds(250) }

    /// - Parameter pool: whose threads the work may hold.
    public init(pool: BlockingPool) { self.pool = pool }

    /// The outcome of `work`, done once for all who ask at the same time.
    ///
    /// - Parameters:
    ///   - limit: how long the caller waits; the work itself takes as long as it takes.
    ///   - work: may block.
    public func run(
        _ key: Key, within limit: Duration, _ work: @escaping @Sendable () -> Value
    ) async -> Outcome {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        let outcome: Outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waiter = Waiter(continuation, limit)
                if !board(key, number, waiter, work) { continuation.resume(returning: .cancelled) }
            }
        } onCancel: {
            leave(key, number)
        }
        _ = state.withLock { $0.departed.remove(number) }
        return outcome
    }

    /// Lifts the limit of the callers of the call that runs. Its work calls this when only computation is left: a limit is for a thing
    /// that hangs, and a busy machine must not look like one.
    public func cannotHangAnyMore(_ key: Key) { state.withLock { $0.flights[key]?.cannotHang = true } }

    /// The keys whose call has run for at least this long and may hang.
    public func underWay(for length: Duration) -> [Key] {
        let now = ContinuousClock.now
        return state.withLock { state in
            state.flights.filter { !$0.value.cannotHang && now - $0.value.began >= length }.map(\.key)
        }
    }

    /// How many callers wait.
    var waiting: Int {
        state.withLock { state in state.flights.values.reduce(0) { $0 + $1.waiters.count + $1.next.count } }
    }

    /// False where the caller has gone already.
    private func board(
        _ key: Key, _ number: UInt64, _ waiter: Waiter, _ work: @escaping @Sendable () -> Value
    ) -> Bool {
        let (isAboard, mustStart, mustWatch) = state.withLock { state in
            guard state.departed.remove(number) == nil else { return (false, false, false) }
            let mustStart = state.flights[key] == nil
            if mustStart {
                state.flights[key] = Flight(began: .now, waiters: [number: waiter])
            } else {
                state.flights[key]?.next[number] = waiter
                state.flights[key]?.work = work
            }
            let mustWatch = !state.isWatched
            state.isWatched = true
            return (true, mustStart, mustWatch)
        }
        if mustStart { start(key, work) }
        if mustWatch { watch() }
        return isAboard
    }

    private func start(_ key: Key, _ work: @escaping @Sendable () -> Value) {
        pool.run { self.land(key, work()) }
    }

    private func land(_ key: Key, _ value: Value) {
        let (waiters, work) = state.withLock { state -> ([Waiter], (@Sendable () -> Value)?) in
            guard let flight = state.flights.removeValue(forKey: key) else { return ([], nil) }
            guard !flight.next.isEmpty, let work = flight.work else { return (Array(flight.waiters.values), nil) }
            var next = flight.next
            if flight.cannotHang {
                next = next.mapValues { Waiter($0.continuation, $0.limit) }
            }
            state.flights[key] = Flight(began: .now, waiters: next)
            return (Array(flight.waiters.values), work)
        }
        if let work { start(key, work) }
        for waiter in waiters { waiter.continuation.resume(returning: .done(value)) }
    }

    private func leave(_ key: Key, _ number: UInt64) {
        let waiter = state.withLock { state -> Waiter? in
            if let waiter = state.flights[key]?.waiters.removeValue(forKey: number) { return waiter }
            if let waiter = state.flights[key]?.next.removeValue(forKey: number) { return waiter }
            state.departed.insert(number)
            return nil
        }
        waiter?.continuation.resume(returning: .cancelled)
    }

    /// While anything is under way, lets those go whose time is over.
    private func watch() {
        DispatchQueue.global().asyncAfter(deadline: .now() + Self.interval) {
            let now = ContinuousClock.now
            let (late, continues) = self.state.withLock { state -> ([Waiter], Bool) in
                var late: [Waiter] = []
                for (key, flight) in state.flights where !flight.cannotHang {
                    late += state.flights[key]?.waiters.extract { $0.deadline <= now } ?? []
                    late += state.flights[key]?.next.extract { $0.deadline <= now } ?? []
                }
                state.isWatched = state.flights.values.contains { !$0.waiters.isEmpty || !$0.next.isEmpty }
                return (late, state.isWatched)
            }
            for waiter in late { waiter.continuation.resume(returning: .late) }
            if continues { self.watch() }
        }
    }
}

extension Dictionary {
    /// Removes the values that `condition` holds of, and returns them.
    fileprivate mutating func extract(where condition: (Value) -> Bool) -> [Value] {
        let keys = self.keys.filter { self[$0].map(condition) ?? false }
        return keys.compactMap { removeValue(forKey: $0) }
    }
}
