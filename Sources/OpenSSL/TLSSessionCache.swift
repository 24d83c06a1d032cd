import COpenSSL
import Synchronization

/// Sessions to resume: a resumed handshake exchanges no certificates and verifies nothing again, so each session is kept
/// under the very name and port it was verified for, and is gone with the trust roots it was verified against (a context
/// has a cache of its own).
///
/// A TLS 1.3 ticket is used once (RFC 8446, appendix C.4), so taking one out removes it.
final class TLSSessionCache: Sendable {
    /// As many as an endpoint has slots unless its quota was raised: after a sleep all of its tunnels are made anew at once. With 256
    /// names it is some 5 MiB at most.
    private static let perName = 20
    private static let names = 256

    /// Owned: freed when it leaves the cache. OpenSSL counts references to sessions atomically, so passing one between
    /// threads is safe.
    private struct Session: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    private let sessions = Mutex<[String: [Session]]>([:])

    deinit {
        sessions.withLock { all in
            for session in all.values.joined() { SSL_SESSION_free(session.pointer) }
            all = [:]
        }
    }

    /// Takes ownership of the session.
    func add(_ pointer: OpaquePointer, for name: String) {
        let session = Session(pointer: pointer)
        let dropped: [Session] = sessions.withLock { all in
            var list = all[name] ?? []
            list.append(session)
            var dropped: [Session] = []
            if list.count > Self.perName { dropped.append(list.removeFirst()) }
            all[name] = list
            if all.count > Self.names, let other = all.keys.first(where: { $0 != name }) {
                dropped += all.removeValue(forKey: other) ?? []
            }
            return dropped
        }
        for session in dropped { SSL_SESSION_free(session.pointer) }
    }

    /// The newest session for a name, which the caller must free; nil when there is none.
    func take(for name: String) -> OpaquePointer? {
        let session: Session? = sessions.withLock { all in
            let session = all[name]?.popLast()
            if all[name]?.isEmpty == true { all[name] = nil }
            return session
        }
        return session?.pointer
    }

    /// Nothing of this name is resumed any more: a handshake with it failed.
    func drop(_ name: String) {
        let dropped = sessions.withLock { $0.removeValue(forKey: name) ?? [] }
        for session in dropped { SSL_SESSION_free(session.pointer) }
    }

    var count: Int { sessions.withLock { $0.values.reduce(0) { $0 + $1.count } } }
}
