import Basics

/// The thing that a path leads through, by which slots are counted: an EC2 Instance Connect Endpoint, for example.
public struct Gateway: Hashable, Sendable {
    /// ``Transport/kind`` of the transport that it belongs to.
    public let transport: String
    /// "eice-0123".
    public let id: String
    public let region: String

    public init(transport: String, id: String, region: String) {
        self.transport = transport
        self.id = id
        self.region = region
    }
}

/// One way to a target: through one gateway.
public struct Path: Hashable, Sendable {
    /// The reason for a path's place among its alternatives.
    public enum Nearness: Hashable, Sendable {
        /// Named by the user: no other path replaces it.
        case pinned
        case sameSubnet
        case sameZone
        /// Another Availability Zone of the VPC: AWS bills traffic between zones.
        case otherZone
    }

    public let gateway: Gateway
    /// The gateway's own address, if it has one.
    public let host: HostAndPort?
    /// The gateway's Availability Zone, if it is known.
    public let zone: String?
    public let nearness: Nearness
    /// The target's address by this path, if that differs from the route's.
    public let targetAddress: String?

    public init(
        gateway: Gateway, host: HostAndPort? = nil, zone: String? = nil, nearness: Nearness,
        targetAddress: String? = nil
    ) {
        self.gateway = gateway
        self.host = host
        self.zone = zone
        self.nearness = nearness
        self.targetAddress = targetAddress
    }
}
