import COpenSSL

/// Random numbers that nobody can predict: masking keys (RFC 6455, section 5.3), nonces, identifiers.
public enum SecureRandom {
    public static func bytes(_ count: Int) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        // RAND_bytes fails only when the system's source of entropy does; no key may be made up then.
        precondition(RAND_bytes(&result, Int32(count)) == 1, "the random number generator failed")
        return result
    }
}

/// Masking keys for one connection: drawn from OpenSSL 1,024 at a time, since a call for each frame would cost
/// its locks each. Owned by one connection; not for sharing.
public struct MaskingKeySource {
    private var keys: [UInt8] = []
    private var next = 0

    public init() {}

    public mutating func draw() -> UInt32 {
        if next == keys.count {
            keys = SecureRandom.bytes(4 * 1_024)
            next = 0
        }
        defer { next += 4 }
        return keys.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: next, as: UInt32.self) }
    }
}
