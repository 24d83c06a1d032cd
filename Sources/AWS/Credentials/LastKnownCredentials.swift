import Synchronization

/// The last credentials that an instance's or a container's service gave for assuming roles: they are used while the service
/// has no others, past their end as well (``Credentials/mayOutliveEnd``). From any thread.
final class LastKnownCredentials: Sendable {
    /// A shell may name a service of its own: what one gave is never used for another.
    struct Key: Hashable, Sendable {
        let source: String
        let profile: String
        let environment: Environment
    }

    private static let largestCount = 64
    private let known = Mutex<[Key: Credentials]>([:])

    /// Keeps only what may be used without its source.
    func keep(_ credentials: Credentials, as key: Key) {
        guard credentials.mayOutliveEnd else { return }
        known.withLock { known in
            // Shells come and go; what is forgotten is asked for.
            if known.count >= Self.largestCount, known[key] == nil { known.removeAll() }
            known[key] = credentials
        }
    }

    /// What was kept. The log says so if they are past their end.
    /// - Parameter why: why the source gives none now.
    func credentials(_ key: Key, _ call: CallContext, why: String) -> Credentials? {
        guard let credentials = known.withLock({ $0[key] }) else { return nil }
        if credentials.isExpired(at: call.clock.now()) {
            call.logger.warning("using \(credentials) past their end: \(why)")
        }
        return credentials
    }
}
