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

/// Where a target is and the paths to it: all that a dial needs, except credentials.
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
    /// The path to use first, and those that can replace it, nearest first.
    public let path: Path
    public let alternatives: [Path]

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
        path: Path,
        alternatives: [Path] = []
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
        self.path = path
        self.alternatives = alternatives
    }

    /// The same target by another of its paths; the rest can replace that one.
    public func by(_ chosen: Path) -> Route {
        Route(
            target: target, remotePort: remotePort, instanceID: instanceID, address: chosen.targetAddress ?? address,
            region: region, profile: profile, environment: environment, zone: zone, subnetID: subnetID, vpcID: vpcID,
            path: chosen, alternatives: candidates.filter { $0.gateway != chosen.gateway })
    }

    /// All paths in the order in which they should be tried.
    public var candidates: [Path] { [path] + alternatives }

    /// `web-1 (i-0123456789abcdef0, 10.0.1.5)`, for messages.
    public var targetDescription: String {
        let known = [instanceID, address].compactMap { $0 }.filter { $0 != target.description }
        return known.isEmpty ? target.description : "\(target) (\(known.joined(separator: ", ")))"
    }
}
