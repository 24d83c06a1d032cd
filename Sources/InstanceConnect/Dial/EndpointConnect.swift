import Basics
import Failures
import OpenSSL
import SecureSocket
import SocketIO

extension HostConnect {
    /// Connects to an endpoint, or to what replaces it (``InstanceConnectSettings/connectTo``).
    convenience init(
        to endpoint: EndpointName, trusting roots: TLSContext, _ settings: InstanceConnectSettings,
        on loop: isolated Loop, onEvent: @escaping (Event) -> Void
    ) {
        // Every way to a name checks it.
        var refusal: Failure?
        if !Identifier.isHostName(endpoint.host.host) {
            let name = ForeignText.excerpt(endpoint.host.host, limit: 60)
            refusal = Failure(
                .endpointUnusable, "endpoint \(endpoint.id) has no usable DNS name", why: "\"\(name)\" is no host name")
        }
        self.init(
            to: settings.connectTo ?? endpoint.host, called: endpoint.id, refusal: refusal,
            settings: settings.hostConnect(trusting: roots), on: loop, onEvent: onEvent)
    }
}
