import COpenSSL

/// A certificate outside its time, as this machine's clock has it. Most often the clock is what is wrong.
public struct CertificateTime: Hashable, Sendable {
    /// Whether its time has not begun; it is over otherwise.
    let isEarly: Bool
    /// When its time begins or ends, in UTC: "2026-12-01T10:00:00Z".
    let limit: String
    /// What the clock said.
    let now: String

    /// One clause: "the certificate is not valid yet: it begins at … and this machine's clock says …".
    public var reason: String {
        let clock = "and this machine's clock says \(now)"
        return isEarly
            ? "the certificate is not valid yet: it begins at \(limit), \(clock)"
            : "the certificate has expired: it ended at \(limit), \(clock)"
    }

    /// What helps: a clock that is right.
    public static let hint = "check this machine's clock and its time zone: timedatectl status"

    /// - Parameter verification: an X509_STORE_CTX whose verification has failed.
    /// - Returns: nil where it failed for another reason.
    init?(failed verification: OpaquePointer) {
        let code = X509_STORE_CTX_get_error(verification)
        guard [X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED].contains(code),
            let certificate = X509_STORE_CTX_get_current_cert(verification)
        else { return nil }
        isEarly = code == X509_V_ERR_CERT_NOT_YET_VALID
        var limit = tm()
        let asn1 = isEarly ? X509_get0_notBefore(certificate) : X509_get0_notAfter(certificate)
        guard ASN1_TIME_to_tm(asn1, &limit) == 1 else { return nil }
        self.limit = Self.text(limit)
        var (seconds, now) = (time(nil), tm())
        gmtime_r(&seconds, &now)
        self.now = Self.text(now)
    }

    private static func text(_ time: tm) -> String {
        func digits(_ number: Int32, _ width: Int = 2) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let day = "\(digits(time.tm_year + 1_900, 4))-\(digits(time.tm_mon + 1))-\(digits(time.tm_mday))"
        return "\(day)T\(digits(time.tm_hour)):\(digits(time.tm_min)):\(digits(time.tm_sec))Z"
    }
}

/// Watches the verifications of an SSL_CTX that another library made in this process, to say what that library does not:
/// which time a certificate failed by. Confined to the thread of the connections.
public final class CertificateTimeWatch {
    /// The last verification that failed for its time.
    public private(set) var found: CertificateTime?

    public init() {}

    /// - Parameter context: an `SSL_CTX *` of the OpenSSL that this process is linked with. It keeps this object for as
    ///   long as it lives: its connections may outlive the transfer that began them.
    public func watch(_ context: UnsafeMutableRawPointer) {
        let context = OpaquePointer(context)
        let kept = Unmanaged.passRetained(self).toOpaque()
        guard Self.index >= 0, SSL_CTX_set_ex_data(context, Self.index, kept) == 1 else {
            Unmanaged<CertificateTimeWatch>.fromOpaque(kept).release()
            return
        }
        SSL_CTX_set_cert_verify_callback(
            context,
            { verification, kept in
                let result = X509_verify_cert(verification)
                if result <= 0, let verification, let kept, let found = CertificateTime(failed: verification) {
                    Unmanaged<CertificateTimeWatch>.fromOpaque(kept).takeUnretainedValue().found = found
                }
                return result
            }, kept)
    }

    private static let index = CRYPTO_get_ex_new_index(
        CRYPTO_EX_INDEX_SSL_CTX, 0, nil, nil, nil,
        { _, kept, _, _, _, _ in
            if let kept { Unmanaged<CertificateTimeWatch>.fromOpaque(kept).release() }
        })
}
