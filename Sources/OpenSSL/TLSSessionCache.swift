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

    /// Keeps a copy of a session; nothing where OpenSSL cannot write it.
    func add(_ session: OpaquePointer, for name: String) {
        // OpenSSL calls this from a handshake, and its caller must find no error of ours.
        defer { ErrorQueue.clear() }
        let length = Int(i2d_SSL_SESSION(session, nil))
        guard length > 0 else { return }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: length) { der in
            // It contains the session's secret.
            defer { OPENSSL_cleanse(der.baseAddress, length) }
            var end = der.baseAddress
            guard Int(i2d_SSL_SESSION(session, &end)) == length else { return }
            add(UnsafeBufferPointer(der), for: name)
        }
    }

    private func add(_ der: UnsafeBufferPointer<UInt8>, for name: String) {
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

    /// One session after the other, as DER (i2d_SSL_SESSION(3)).
    private var der: [UInt8] = []
    /// The bytes of each.
    private var lengths: [Int] = []

    var count: Int { lengths.count }
    var isEmpty: Bool { lengths.isEmpty }

    deinit { Digest.erase(&der) }

    func add(_ newest: UnsafeBufferPointer<UInt8>) {
        lengths = Array(lengths.prefix(Self.limit - 1))
        let end = lengths.reduce(0, +)
        // In one piece from the start, so that no copy is left behind in memory that is freed.
        var packed: [UInt8] = []
        packed.reserveCapacity(newest.count + end)
        packed.append(contentsOf: newest)
        packed.append(contentsOf: der[..<end])
        replace(with: packed)
        lengths.insert(newest.count, at: 0)
    }

    func take() -> OpaquePointer? {
        let length = lengths.removeFirst()
        let session = der.withUnsafeBufferPointer { der in
            var start = der.baseAddress
            return d2i_SSL_SESSION(nil, &start, length)
        }
        ErrorQueue.clear()
        replace(with: Array(der[length...]))
        return session
    }

    /// Nothing else may refer to the old ones, or a copy of them would be overwritten.
    private func replace(with other: [UInt8]) {
        Digest.erase(&der)
        der = other
    }
}
