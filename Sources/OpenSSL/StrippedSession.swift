import COpenSSL

/// A session as it is kept for resumption: without the peer's certificate. A resumed handshake has no use for it (the session carries
/// the verdict, and the cache whom it is about), and it is most of what a session takes.
enum StrippedSession {
    /// Calls `body` with the session as DER, without the certificate; not where OpenSSL cannot write it.
    ///
    /// OpenSSL has no call that takes a certificate out of a session, but writes and reads sessions as ASN.1
    /// (i2d_SSL_SESSION(3)), where it is an optional element.
    static func withDER(of session: OpaquePointer, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        // It is called from within OpenSSL, whose caller is to find no error of ours.
        defer { ErrorQueue.clear() }
        let length = Int(i2d_SSL_SESSION(session, nil))
        guard length > 0 else { return }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: length) { der in
            // The secret of the session is in it. (OpenSSL, which decodes it later, leaves it in memory that it frees, too.)
            defer { OPENSSL_cleanse(der.baseAddress, length) }
            var end = der.baseAddress
            guard Int(i2d_SSL_SESSION(session, &end)) == length else { return }
            body(UnsafeBufferPointer(removeCertificate(from: der)))
        }
    }

    /// The session of a DER; nil when OpenSSL cannot read it. The caller frees it with SSL_SESSION_free.
    static func session(from der: UnsafeBufferPointer<UInt8>) -> OpaquePointer? {
        defer { ErrorQueue.clear() }
        var start = der.baseAddress
        return d2i_SSL_SESSION(nil, &start, der.count)
    }

    /// How long the DER is that begins at an offset; nil where none does.
    static func length(in der: [UInt8], at offset: Int) -> Int? {
        guard let whole = element(of: der, at: offset), whole.end <= der.count else { return nil }
        return whole.end - offset
    }

    /// Takes the element `[3]`, which is `peer` (ssl_session_asn1 of OpenSSL), out of a DER sequence in its own memory, and returns the
    /// part of it where the sequence is now. What is no such sequence stays as it is.
    static func removeCertificate(from der: UnsafeMutableBufferPointer<UInt8>) -> UnsafeMutableBufferPointer<UInt8> {
        guard let whole = element(of: der, at: 0), whole.tag == 0x30, whole.end == der.count else { return der }
        var at = whole.start
        while at < whole.end {
            guard let part = element(of: der, at: at), part.end <= whole.end else { return der }
            guard part.tag == 0xa3 else {
                at = part.end
                continue
            }
            // What is before it moves up to what follows, and a new header goes before that; it is no longer than the old one.
            let gone = part.end - at
            let header = [0x30] + length(whole.end - whole.start - gone)
            let start = whole.start + gone - header.count
            guard let base = der.baseAddress else { return der }
            (base + whole.start + gone).update(from: base + whole.start, count: at - whole.start)
            (base + start).update(from: header, count: header.count)
            return UnsafeMutableBufferPointer(rebasing: der[start...])
        }
        return der
    }

    /// The element that begins at an offset: its tag of one byte, and where its contents are.
    private static func element<Bytes: RandomAccessCollection<UInt8>>(of der: Bytes, at offset: Int) -> (
        tag: UInt8, start: Int, end: Int
    )? where Bytes.Index == Int {
        guard offset + 2 <= der.count else { return nil }
        let first = der[offset + 1]
        guard first >= 0x80 else { return (der[offset], offset + 2, offset + 2 + Int(first)) }
        let digits = Int(first & 0x7f)
        guard 1...4 ~= digits, offset + 2 + digits <= der.count else { return nil }
        let start = offset + 2 + digits
        let length = der[(offset + 2)..<start].reduce(0) { $0 << 8 | Int($1) }
        return (der[offset], start, start + length)
    }

    /// A length in DER: short below 128, else the number of its bytes before them (X.690, section 8.1.3).
    private static func length(_ count: Int) -> [UInt8] {
        guard count >= 0x80 else { return [UInt8(count)] }
        let digits = (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) }.drop { $0 == 0 }
        return [0x80 | UInt8(digits.count)] + digits
    }
}
