import COpenSSL

/// Hashes and message authentication, as signing (SigV4) and the WebSocket upgrade need them.
public enum Digest {
    /// What OpenSSL would look up by name at each call, which takes longer than the hash of a short message. Immutable once made,
    /// and OpenSSL counts references to it under its own locks, hence safe to share.
    private enum Fetched {
        nonisolated(unsafe) static let sha256 = EVP_MD_fetch(nil, OSSL_DIGEST_NAME_SHA2_256, nil)
        nonisolated(unsafe) static let sha1 = EVP_MD_fetch(nil, OSSL_DIGEST_NAME_SHA1, nil)
        /// Without a key: to be copied.
        nonisolated(unsafe) static let hmacSHA256 = shim_hmac_sha256()
    }

    public static func sha256(_ message: some Sequence<UInt8>) -> [UInt8] { hash(Array(message), Fetched.sha256) }

    /// SHA-1, only for `Sec-WebSocket-Accept` (RFC 6455, section 4.2.2) and the names of SSO cache files, where
    /// the protocol demands it; never where strength matters.
    public static func sha1(_ message: some Sequence<UInt8>) -> [UInt8] { hash(Array(message), Fetched.sha1) }

    public static func hmacSHA256(key: [UInt8], message: some Sequence<UInt8>) -> [UInt8] {
        let message = Array(message)
        var result = [UInt8](repeating: 0, count: 32)
        var length = 0
        let context = EVP_MAC_CTX_dup(Fetched.hmacSHA256)
        // Overwrites the key that it has taken.
        defer { EVP_MAC_CTX_free(context) }
        let done =
            EVP_MAC_init(context, key, key.count, nil) == 1
            && EVP_MAC_update(context, message, message.count) == 1
            && EVP_MAC_final(context, &result, &length, result.count) == 1
        // HMAC fails only when OpenSSL has no SHA-256 or no memory: nothing can be signed or checked then.
        precondition(done && length == 32, "OpenSSL could not compute HMAC-SHA256")
        return result
    }

    /// Overwrites key material that is not needed any more, in a way that no optimiser takes out. The caller's must be the only
    /// reference: of shared storage a copy would be cleared.
    public static func erase(_ secret: inout [UInt8]) {
        secret.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
        secret = []
    }

    /// Whether two byte strings are equal, in a time that depends on their length alone.
    public static func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
    }

    /// Small letters, as AWS's signatures are written.
    public static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func hash(_ message: [UInt8], _ algorithm: OpaquePointer?) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var length: UInt32 = 0
        let done = EVP_Digest(message, message.count, &result, &length, algorithm, nil)
        precondition(done == 1, "OpenSSL could not compute a digest")
        return Array(result.prefix(Int(length)))
    }
}
