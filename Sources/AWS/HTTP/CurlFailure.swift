import Basics
import CCurl
import Failures
import OpenSSL
import SecureSocket

/// What a libcurl error means to a person (libcurl-errors(3)).
struct CurlFailure {
    let code: CURLcode
    /// libcurl's own sentence.
    let message: String
    /// The proxy's answer to CONNECT; 0 where there was none.
    let proxyStatus: Int
    /// Why the certificate was refused, where that was its time.
    let certificateTime: CertificateTime?
    let request: HTTPRequest

    var failure: Failure {
        Failure(kind, "cannot \(request.purpose): \(what)", why: outsideTime?.reason ?? words, hint: hint)
    }

    static func cancelled(_ request: HTTPRequest) -> Failure {
        Failure(.deadline, "cannot \(request.purpose)", why: "\(request.authority) did not answer in time")
    }

    private var outsideTime: CertificateTime? { code == CURLE_PEER_FAILED_VERIFICATION ? certificateTime : nil }

    /// libcurl's sentence may repeat what was sent and what came.
    private var words: String {
        Redaction(request.allSecrets + (request.proxy.map(ProxySettings.secrets) ?? [])).text(message, limit: 300)
    }

    /// The proxy without its user name and password.
    private var proxy: String { request.proxy.map(ProxySettings.redact) ?? "the proxy" }

    private var kind: Failure.Kind {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .nameNotResolved
        case CURLE_COULDNT_CONNECT, CURLE_PROXY: .cannotConnect
        case CURLE_OPERATION_TIMEDOUT: .deadline
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR,
            CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_INVALIDCERTSTATUS:
            .tls
        case CURLE_SSL_CACERT_BADFILE, CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: .configuration
        case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE:
            proxyStatus >= 300 ? .cannotConnect : .connectionLost
        case CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING: .protocolMismatch
        default: .connectionLost
        }
    }

    private var what: String {
        switch code {
        case CURLE_COULDNT_RESOLVE_PROXY, CURLE_PROXY: return "proxy \(proxy)"
        case CURLE_SSL_CACERT_BADFILE: return "trust roots \(request.trustRoots ?? "of the system")"
        default: return proxyStatus >= 300 ? "proxy \(proxy) refused \(request.authority)" : request.authority
        }
    }

    private var hint: String? {
        if proxyStatus == 407 { return "give the proxy's user name and password in HTTPS_PROXY" }
        return switch code {
        // Where libcurl's TLS is another library its words are all there is.
        case CURLE_PEER_FAILED_VERIFICATION
        where outsideTime != nil || ["expired", "not yet valid"].contains { message.contains($0) }:
            CertificateTime.hint
        case CURLE_PEER_FAILED_VERIFICATION:
            "if a proxy inspects TLS here, name its CA in AWS_CA_BUNDLE of the daemon's environment"
        case CURLE_COULDNT_RESOLVE_PROXY, CURLE_PROXY: "check HTTPS_PROXY and NO_PROXY of the daemon's environment"
        default: nil
        }
    }
}
