import Failures
import InstanceConnect
import SecureSocket

/// What a connection is called in its sentences.
struct RemoteNames {
    /// The TLS server name, which the certificate must carry.
    var host: String
    var port: UInt16
    /// "eice-0123".
    var endpoint: String
}

extension RemoteNames {
    init(_ endpoint: Endpoint) {
        self.init(host: endpoint.dnsName, port: endpoint.port, endpoint: endpoint.id)
    }
}

// MARK: Sentences

extension RemoteNames {
    func handshakeFailure(_ error: TransportError) -> Failure {
        guard let flaw = error.flaw else { return connectionLost("during the TLS handshake", error) }
        return Failure(
            .tls, "TLS with \(host) failed", why: flaw.reason,
            hint: flaw.hint(otherwise: "is a proxy in between? name its certificates with AWS_CA_BUNDLE"))
    }

    func connectionLost(_ when: String, _ error: TransportError? = nil) -> Failure {
        Failure(
            .connectionLost, "\(endpoint) ended the connection \(when)", why: error?.reason ?? "end of file")
    }

    func violation(_ sentence: String) -> Failure {
        Failure(.webSocket, "\(endpoint) broke the WebSocket protocol", why: sentence)
    }
}
