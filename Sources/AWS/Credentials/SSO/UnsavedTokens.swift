import Synchronization

/// Refreshed log-ins that the cache of the AWS CLI could not take, such as one that is mounted read-only: the file still has
/// their predecessor, whose refresh token is spent. From any thread.
final class UnsavedTokens: Sendable {
    private struct Entry {
        /// What the file had when the log-in was refreshed.
        var saved: SSOToken
        var token: SSOToken
    }

    private let entries = Mutex<[String: Entry]>([:])

    func keep(_ token: SSOToken, insteadOf saved: SSOToken, at path: String) {
        entries.withLock { $0[path] = Entry(saved: saved, token: token) }
    }

    /// The log-in to use instead of the one in the file; nil if the file has another one by now, which a person or a
    /// program wrote.
    func successor(of saved: SSOToken, at path: String) -> SSOToken? {
        entries.withLock { entries in
            guard let entry = entries[path] else { return nil }
            if entry.saved == saved { return entry.token }
            entries[path] = nil
            return nil
        }
    }

    func forget(_ path: String) { entries.withLock { $0[path] = nil } }
}
