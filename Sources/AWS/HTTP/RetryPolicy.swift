import Failures

/// When a call that failed is tried again: AWS's "standard" mode, three attempts in all, with random pauses that double, so
/// that many clients do not come back together. The caller's own deadline ends it early by cancelling the task.
struct RetryPolicy: Sendable {
    var attempts = 3
    /// The longest first pause; the next ones double.
    var firstPause: Duration = .milliseconds(400)

    /// Whether trouble of this kind may pass by itself.
    static func isPassing(_ failure: Failure) -> Bool {
        [.throttled, .serviceUnavailable, .connectionLost].contains(failure.kind)
    }

    /// Waits before the attempt after `attempt`.
    /// - Throws: `failure` where no attempt is left or the task is cancelled.
    func pause(after attempt: Int, giving failure: Failure) async throws(Failure) {
        guard attempt < attempts else { throw failure }
        do {
            try await Task.sleep(for: length(after: attempt, chance: .random(in: 0...1)))
        } catch {
            throw failure
        }
    }

    /// - Parameter chance: 0...1, drawn anew for each pause.
    func length(after attempt: Int, chance: Double) -> Duration {
        firstPause * (1 << min(attempt - 1, 6)) * (0.1 + 0.9 * chance)
    }

    /// Runs `work` until it works, fails for good, or no attempt is left.
    func run<Value: Sendable>(_ work: () async throws(Failure) -> Value) async throws(Failure) -> Value {
        var attempt = 1
        while true {
            do throws(Failure) {
                return try await work()
            } catch {
                guard Self.isPassing(error) else { throw error }
                try await pause(after: attempt, giving: error)
                attempt += 1
            }
        }
    }
}
