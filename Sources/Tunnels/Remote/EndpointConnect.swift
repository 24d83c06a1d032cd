import AWS
import Basics
import Failures
import InstanceConnect
import SecureSocket
import SocketIO

extension HostConnect {
    /// Connects to an endpoint, or to what stands in for it (``TunnelServices/connectTo``).
    convenience init(
        _ endpoint: Endpoint, services: TunnelServices, on loop: isolated Loop, onEvent: @escaping (Event) -> Void
    ) {
        // Every way to a name checks it.
        var refusal: Failure?
        if !Identifier.isHostName(endpoint.dnsName) {
            let name = ForeignText.excerpt(endpoint.dnsName, limit: 60)
            refusal = Failure(
                .endpointUnusable, "endpoint \(endpoint.id) has no usable DNS name", why: "\"\(name)\" is no host name")
        }
        self.init(
            to: services.connectTo ?? HostAndPort(host: endpoint.dnsName, port: endpoint.port), called: endpoint.id,
            refusal: refusal, settings: services.hostConnect, on: loop, onEvent: onEvent)
    }
}
