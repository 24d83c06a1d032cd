import Basics
import Failures
import Transport

/// An endpoint that a tunnel can be opened through.
public struct Endpoint: Sendable, Hashable {
    public let id: String
    /// As the API gave it, or the user, without a dot at its end.
    public let dnsName: String
    public let port: UInt16
    public let zone: String?
    public let subnetID: String?
    public let nearness: Path.Nearness
    /// The target's address that is asked for through it, where that is not the route's.
    public let targetAddress: String?

    /// Whether this is how an endpoint's id is written.
    public static func isID(_ text: String) -> Bool { Identifier.isEndpoint(text) }

    public init(
        id: String,
        dnsName: String,
        port: UInt16 = 443,
        zone: String? = nil,
        subnetID: String? = nil,
        nearness: Path.Nearness,
        targetAddress: String? = nil
    ) {
        self.id = id
        self.dnsName = String(dnsName.withoutFinalDot)
        self.port = port
        self.zone = zone
        self.subnetID = subnetID
        self.nearness = nearness
        self.targetAddress = targetAddress
    }
}

extension Failure {
    /// An id with another form than `eice-…`.
    public static func noEndpointID(_ text: String) -> Failure {
        Failure(
            .usage, "invalid endpoint \"\(ForeignText.excerpt(text, limit: 60))\"",
            why: "expected an id such as eice-0123456789abcdef0", hint: "eicectl endpoints lists them")
    }
}

extension Path {
    /// The path through an endpoint.
    public init(through endpoint: Endpoint, region: String) {
        self.init(
            gateway: Gateway(transport: InstanceConnectTransport.kind, id: endpoint.id, region: region),
            host: HostAndPort(host: endpoint.dnsName, port: endpoint.port), zone: endpoint.zone,
            nearness: endpoint.nearness, targetAddress: endpoint.targetAddress)
    }
}
