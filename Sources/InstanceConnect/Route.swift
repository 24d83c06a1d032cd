import AWS
import Basics
import Failures

/// What a forward or a `proxy` call asks for. `profile` and `region` are nil where the daemon's own settings decide.
public struct RouteRequest: Sendable, Hashable {
    public var target: Target
    public var remotePort: UInt16
    public var profile: String?
    public var region: String?
    /// What the shell of the request says about AWS; nil where the daemon's environment counts as it is.
    public var environment: EnvironmentOverlay?
    /// An endpoint that must be used.
    public var endpointID: String?
    /// Its DNS name: with the id and an address as the target, no API call is made.
    public var endpointDNSName: String?

    public init(
        target: Target,
        remotePort: UInt16,
        profile: String? = nil,
        region: String? = nil,
        environment: EnvironmentOverlay? = nil,
        endpointID: String? = nil,
        endpointDNSName: String? = nil
    ) {
        self.target = target
        self.remotePort = remotePort
        self.profile = profile
        self.region = region
        self.environment = environment
        self.endpointID = endpointID
        self.endpointDNSName = endpointDNSName
    }
}

/// An endpoint that a tunnel can be opened through.
public struct Endpoint: Sendable, Hashable {
    /// Why it stands where it stands among the candidates.
    public enum Nearness: Sendable, Hashable {
        /// Named by the user: never left for another.
        case pinned
        case sameSubnet
        case sameZone
        /// Another Availability Zone of the VPC: the traffic between zones is billed.
        case otherZone
    }

    public let id: String
    /// As the API gave it, or the user, without a dot at its end.
    public let dnsName: String
    public let port: UInt16
    public let zone: String?
    public let subnetID: String?
    public let nearness: Nearness
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
        nearness: Nearness,
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
    /// The text is no endpoint's id.
    public static func noEndpointID(_ text: String) -> Failure {
        Failure(
            .usage, "invalid endpoint \"\(ForeignText.excerpt(text, limit: 60))\"",
            why: "expected an id such as eice-0123456789abcdef0", hint: "eicectl endpoints lists them")
    }
}

/// Where a target is and how it is reached: all that a dial needs, credentials apart.
public struct Route: Sendable, Hashable {
    /// What the user typed.
    public let target: Target
    public let remotePort: UInt16
    /// Nil for an address that was not looked up.
    public let instanceID: String?
    /// The private address, without brackets.
    public let address: String
    public let region: String
    public let profile: String?
    /// As ``RouteRequest/environment``.
    public let environment: EnvironmentOverlay?
    public let zone: String?
    public let subnetID: String?
    public let vpcID: String?
    /// The endpoint to use first, and those that can stand in for it, nearest first.
    public let endpoint: Endpoint
    public let alternatives: [Endpoint]

    public init(
        target: Target,
        remotePort: UInt16,
        instanceID: String? = nil,
        address: String,
        region: String,
        profile: String?,
        environment: EnvironmentOverlay? = nil,
        zone: String? = nil,
        subnetID: String? = nil,
        vpcID: String? = nil,
        endpoint: Endpoint,
        alternatives: [Endpoint] = []
    ) {
        self.target = target
        self.remotePort = remotePort
        self.instanceID = instanceID
        self.address = address
        self.region = region
        self.profile = profile
        self.environment = environment
        self.zone = zone
        self.subnetID = subnetID
        self.vpcID = vpcID
        self.endpoint = endpoint
        self.alternatives = alternatives
    }

    /// The same target through another of its endpoints; those that remain can stand in for that one.
    public func through(_ chosen: Endpoint) -> Route {
        Route(
            target: target, remotePort: remotePort, instanceID: instanceID, address: chosen.targetAddress ?? address,
            region: region, profile: profile, environment: environment, zone: zone, subnetID: subnetID, vpcID: vpcID,
            endpoint: chosen, alternatives: candidates.filter { $0.id != chosen.id })
    }

    /// All endpoints in the order in which they should be tried.
    public var candidates: [Endpoint] { [endpoint] + alternatives }
    public var endpointID: String { endpoint.id }
    public var endpointDNSName: String { endpoint.dnsName }

    /// `web-1 (i-0123456789abcdef0, 10.0.1.5)`, for messages.
    public var targetDescription: String {
        let known = [instanceID, address].compactMap { $0 }.filter { $0 != target.description }
        return known.isEmpty ? target.description : "\(target) (\(known.joined(separator: ", ")))"
    }
}
