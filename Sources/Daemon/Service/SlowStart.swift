import Dispatch
import Failures
import Logging
import ServiceManager
import Synchronization

/// Says what a start waits for, in the log and to the service manager: a file system that hangs must not look like a daemon that hangs.
enum SlowStart {
    /// Nothing is said of a wait that takes less.
    static let silence = Duration.seconds(1)

    /// Does `body`, which may block, and says what it waits for where that takes long.
    ///
    /// - Parameter what: "reading /home/ann/.config/eiced/config.toml".
    static func announcing<Value>(
        _ what: String, _ body: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let end = End()
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(Int(silence / .milliseconds(1)))) {
            // Said under the lock: afterwards the start changes the environment, which this reads.
            end.hasCome.withLock { hasCome in
                guard !hasCome else { return }
                let line = "still \(what): its file system does not answer"
                sayWithoutLogger("eiced: warning: \(line)", .warning)
                Notifier().status("starting: \(line)")
            }
        }
        defer { end.hasCome.withLock { $0 = true } }
        return try body()
    }

    private final class End: Sendable {
        let hasCome = Mutex(false)
    }
}

/// The look into the user's AWS files that a start takes: a mistake in them ends it, and files that hang do not hold it up.
final class StartCheck: Sendable {
    private struct State {
        var result: Result<Void, Failure>?
        var onEnd: (@Sendable (Result<Void, Failure>) -> Void)?
    }

    private let state = Mutex(State())
    private let ended = DispatchSemaphore(value: 0)
    private let awaited: @Sendable () -> String?

    /// - Parameters:
    ///   - awaited: the file that `check` waits for, where it is known.
    ///   - check: fails with `.deadline` where a file hangs. It is tried again then.
    init(awaited: @escaping @Sendable () -> String?, check: @escaping @Sendable () async throws(Failure) -> Void) {
        self.awaited = awaited
        Task.detached {
            while true {
                do throws(Failure) {
                    try await check()
                    return self.end(.success(()))
                } catch {
                    guard error.kind == .deadline else { return self.end(.failure(error)) }
                }
            }
        }
    }

    private func end(_ result: Result<Void, Failure>) {
        let onEnd = state.withLock { state in
            state.result = result
            return state.onEnd
        }
        ended.signal()
        onEnd?(result)
    }

    /// Blocks until the look has ended, ``SlowStart/silence`` at most.
    ///
    /// - Returns: whether it has ended.
    /// - Throws: what it found.
    func wait() throws(Failure) -> Bool {
        guard ended.wait(timeout: .now() + .milliseconds(Int(SlowStart.silence / .milliseconds(1)))) == .success else {
            return false
        }
        try state.withLock(\.result)?.get()
        return true
    }

    /// What is told while it lasts.
    var hanging: Failure {
        let path = awaited() ?? "the trust roots"
        return Failure(
            .deadline, "cannot read \(path) yet", why: "its file system does not answer",
            hint: "connections that need it fail until then; timeout 5 stat \(path)")
    }

    /// `body` is called once, with what the look has found, on any thread.
    func notify(_ body: @escaping @Sendable (Result<Void, Failure>) -> Void) {
        let result = state.withLock { state in
            if state.result == nil { state.onEnd = body }
            return state.result
        }
        if let result { body(result) }
    }
}
