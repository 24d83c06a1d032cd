import Failures
import Synchronization

/// Runs one piece of work for all who ask for the same thing at the same time. A caller that is cancelled leaves at once;
/// when the last one has left, the work is cancelled.
public final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    public typealias Outcome = Result<Value, Failure>

    private struct Flight {
        var number: UInt64
        var task: Task<Void, Never>?
        var waiters: [UInt64: CheckedContinuation<Outcome, Never>] = [:]
        /// Work that goes on though nobody waits for it (a refresh ahead of time).
        var isKept = false
    }

    private struct State {
        var flights: [Key: Flight] = [:]
        var nextNumber: UInt64 = 0
        /// Callers that were cancelled before their continuation was stored.
        var departed: Set<UInt64> = []

        mutating func draw() -> UInt64 {
            nextNumber += 1
            return nextNumber
        }
    }

    private let state = Mutex(State())

    public init() {}

    /// The outcome of `work`, begun now or by an earlier caller.
    /// - Throws: what the work throws; `.deadline` where the calling task is cancelled.
    public func run(
        _ key: Key, what: String, _ work: @escaping @Sendable () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let waiter = state.withLock { $0.draw() }
        let outcome: Outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isGone = state.withLock { state in
                    if state.departed.remove(waiter) != nil { return true }
                    board(key, in: &state, work)
                    state.flights[key]?.waiters[waiter] = continuation
                    return false
                }
                if isGone { continuation.resume(returning: .failure(Self.abandoned(what))) }
            }
        } onCancel: {
            leave(key, waiter, what)
        }
        _ = state.withLock { $0.departed.remove(waiter) }
        return try outcome.get()
    }

    /// Begins the work for later callers, unless it is under way. Nobody waits for it.
    public func start(_ key: Key, _ work: @escaping @Sendable () async throws(Failure) -> Value) {
        state.withLock { state in
            board(key, in: &state, work)
            state.flights[key]?.isKept = true
        }
    }

    private func board(
        _ key: Key, in state: inout State, _ work: @escaping @Sendable () async throws(Failure) -> Value
    ) {
        guard state.flights[key] == nil else { return }
        let number = state.draw()
        state.flights[key] = Flight(number: number)
        state.flights[key]?.task = Task.detached {
            let outcome: Outcome
            do throws(Failure) { outcome = .success(try await work()) } catch { outcome = .failure(error) }
            self.land(key, number, outcome)
        }
    }

    private func land(_ key: Key, _ number: UInt64, _ outcome: Outcome) {
        let waiters = state.withLock { state -> [CheckedContinuation<Outcome, Never>] in
            // A flight that everyone had left may end after a newer one of the same key began.
            guard let flight = state.flights[key], flight.number == number else { return [] }
            state.flights[key] = nil
            return Array(flight.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: outcome) }
    }

    private func leave(_ key: Key, _ waiter: UInt64, _ what: String) {
        let continuation = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            guard let continuation = state.flights[key]?.waiters.removeValue(forKey: waiter) else {
                state.departed.insert(waiter)
                return nil
            }
            if let flight = state.flights[key], flight.waiters.isEmpty, !flight.isKept {
                flight.task?.cancel()
                state.flights[key] = nil
            }
            return continuation
        }
        continuation?.resume(returning: .failure(Self.abandoned(what)))
    }

    private static func abandoned(_ what: String) -> Failure {
        Failure(.deadline, what, why: "it took too long and was given up")
    }
}
