import Synchronization

/// The last credentials that an instance's or a container's service gave for assuming roles: they are used while the service
/// has no others, past their end as well (``Credentials/mayOutliveEnd``). From any thread.
final class LastKnownCredentials: Sendable {
    private let known = Mutex<[String: Credentials]>([:])

    /// Keeps only what may be used without its source.
    func keep(_ credentials: Credentials, as key: String) {
        guard credentials.mayOutliveEnd else { return }
        known.withLock { $0[key] = credentials }
    }

    /// What was kept. The log says so if they are past their end.
    /// - Parameter why: why the source gives none now.
    func credentials(_ key: String, _ call: CallContext, why: String) -> Credentials? {
        guard let credentials = known.withLock({ $0[key] }) else { return nil }
        if credentials.isExpired(at: call.clock.now()) {
            call.logger.warning("using \(credentials) past their end: \(why)")
        }
        return credentials
    }
}
