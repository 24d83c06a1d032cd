import Basics
import Failures
import SecureSocket
import Transport

/// An endpoint as a dial and its sentences name it.
struct EndpointName {
    let gateway: Gateway
    /// The TLS server name, which the certificate must carry, and the port.
    let host: HostAndPort
    /// "eice-0123".
    var id: String { gateway.id }

    init(_ path: Path) {
        gateway = path.gateway
        // Every path of this transport has a host; without one the name is refused before the connect.
        host = path.host ?? HostAndPort(host: "", port: 443)
    }
}

// MARK: Sentences

extension EndpointName {
    func handshakeFailure(_ error: TransportError) -> Failure {
        guard let flaw = error.flaw else { return connectionLost("during the TLS handshake", error) }
        return Failure(
            .tls, "TLS with \(host.host) failed", why: flaw.reason,
            hint: flaw.hint(otherwise: "is a proxy in between? name its certificates with AWS_CA_BUNDLE"))
    }

    func connectionLost(_ when: String, _ error: TransportError? = nil) -> Failure {
        Failure(
            .connectionLost, "\(id) ended the connection \(when)", why: error?.reason ?? "end of file")
    }

    func violation(_ sentence: String) -> Failure {
        Failure(.webSocket, "\(id) broke the WebSocket protocol", why: sentence)
    }
}
