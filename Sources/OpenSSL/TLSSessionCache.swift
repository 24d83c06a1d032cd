import COpenSSL
import Synchronization

/// Sessions to resume: a resumed handshake exchanges no certificates and verifies nothing again, so each session is kept
/// under the very name and port it was verified for, and is gone with the trust roots it was verified against (a context
/// has a cache of its own).
///
/// A TLS 1.3 ticket is used once (RFC 8446, appendix C.4), so taking one out removes it.
final class TLSSessionCache: Sendable {
    private static let names = 256

    private let sessions = Mutex<[String: PackedSessions]>([:])

    /// Keeps a session, given as DER.
    func add(_ der: UnsafeBufferPointer<UInt8>, for name: String) {
        sessions.withLock { all in
            let packed = all[name] ?? PackedSessions()
            packed.add(der)
            all[name] = packed
            if all.count > Self.names, let other = all.keys.first(where: { $0 != name }) { all[other] = nil }
        }
    }

    /// The newest session for a name, which the caller must free; nil when there is none.
    func take(for name: String) -> OpaquePointer? {
        sessions.withLock { all in
            guard let packed = all[name] else { return nil }
            defer { if packed.isEmpty { all[name] = nil } }
            return packed.take()
        }
    }

    /// Nothing of this name is resumed any more: a handshake with it failed.
    func drop(_ name: String) { sessions.withLock { $0[name] = nil } }

    var count: Int { sessions.withLock { $0.values.reduce(0) { $0 + $1.count } } }
}

/// The sessions of one name, the newest first, in one piece of memory, which is overwritten before it is freed. In pieces of their
/// own hundreds of them would lie between what tunnels leave, and each would keep a page from being given back.
///
/// Touched by its cache alone, under that one's lock.
private final class PackedSessions: @unchecked Sendable {
    /// As many as an endpoint has slots unless its quota was raised: after a sleep all of its tunnels are made anew at once. With 256
    /// names it is some 2 MiB at most.
    private static let limit = 20

    /// One DER after the other.
    private var der: [UInt8] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    deinit { Digest.erase(&der) }

    func add(_ newest: UnsafeBufferPointer<UInt8>) {
        let end = end(of: Self.limit - 1)
        // In one piece from the start, so that no copy is left behind in memory that is freed.
        var packed: [UInt8] = []
        packed.reserveCapacity(newest.count + end)
        packed.append(contentsOf: newest)
        packed.append(contentsOf: der[..<end])
        replace(with: packed)
        count = min(count + 1, Self.limit)
    }

    func take() -> OpaquePointer? {
        let length = end(of: 1)
        let session = der.withUnsafeBufferPointer {
            StrippedSession.session(from: UnsafeBufferPointer(rebasing: $0[..<length]))
        }
        let others = Array(der[length...])
        replace(with: others)
        count -= 1
        return session
    }

    /// Where the first `limit` sessions end.
    private func end(of limit: Int) -> Int {
        (0..<min(limit, count)).reduce(0) { offset, _ in offset + (StrippedSession.length(in: der, at: offset) ?? 0) }
    }

    /// Nothing else may refer to the old ones, or a copy of them would be overwritten.
    private func replace(with other: [UInt8]) {
        Digest.erase(&der)
        der = other
    }
}
