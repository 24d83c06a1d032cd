import COpenSSL

/// Why a TLS connection could not be made, or broke.
public struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        fileprivate let name: String
        /// The peer's certificate was not accepted.
        public static let certificate = Code(name: "certificate")
        /// The peer's certificate is not valid yet or not any more: ``CertificateTime/hint`` helps.
        public static let certificateTime = Code(name: "certificate time")
        /// The peer ended the connection with an alert.
        public static let alert = Code(name: "alert")
        /// The peer's bytes are not TLS, or not as TLS wants them.
        public static let violation = Code(name: "violation")
        /// The connection ended without TLS's own end (close_notify): it may be cut short.
        public static let truncated = Code(name: "truncated")
        /// Certificates or keys of our own cannot be used.
        public static let configuration = Code(name: "configuration")
    }

    public let code: Code
    /// One clause, beginning with a small letter.
    public let reason: String

    public init(_ code: Code, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    public var description: String { reason }

    /// What helps against a certificate that was refused; nil for all other errors.
    ///
    /// - Parameter otherwise: where its time is not the reason.
    public func hint(otherwise: String) -> String? {
        switch code {
        case .certificateTime: CertificateTime.hint
        case .certificate: otherwise
        default: nil
        }
    }
}

/// OpenSSL's queue of errors, which belongs to the thread: it must be empty before each call whose result is asked
/// with SSL_get_error (SSL_get_error(3)).
enum ErrorQueue {
    static func clear() {
        // Nearly always empty, which costs far less to see than to make.
        if ERR_peek_error() != 0 { ERR_clear_error() }
    }

    /// Empties the queue; the words of its first entry, which is where the trouble began.
    static func drain() -> (reason: String, code: UInt)? {
        var first: (String, UInt)?
        while true {
            let code = ERR_get_error()
            guard code != 0 else { return first }
            if first == nil {
                let words = ERR_reason_error_string(code).map { String(cString: $0) }
                first = (words ?? "error \(code)", code)
            }
        }
    }

    /// An error about our own certificates, keys or roots.
    static func configurationError(_ what: String) -> TLSError {
        let reason = drain()?.reason
        return TLSError(.configuration, reason.map { "\(what): \($0)" } ?? what)
    }
}
