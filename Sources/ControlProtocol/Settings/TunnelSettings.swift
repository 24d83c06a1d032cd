import Basics
import Failures

/// How to open a tunnel: whose account, through which endpoint, for how long. The same for the tunnels of a forward, for
/// `connect`, and for the tables of the configuration. The daemon chooses what is nil.
///
/// To add a setting: a property here, a row in ``TunnelSetting/all``, and its use in the daemon (TunnelSettingsUse.swift).
public struct TunnelOptions: Hashable, Sendable {
    /// A profile of the AWS configuration.
    public var profile: String?
    public var region: String?
    /// The id of an endpoint (`eice-…`) to use and no other.
    public var endpoint: String?
    /// The DNS name of `endpoint`: with it and an address as the target nothing is looked up.
    public var endpointDNSName: String?
    /// Seconds after which a tunnel is closed.
    public var maxDuration: Int?
    /// Seconds without a byte in either direction after which a tunnel is closed; 0 for no limit.
    public var idleTimeout: Int?
    public var priority: Priority?
    /// What the shell of a request says, below all of these. Not a setting: only requests carry it.
    public var environment: CallerEnvironment?

    public init(
        profile: String? = nil, region: String? = nil, endpoint: String? = nil, endpointDNSName: String? = nil,
        maxDuration: Int? = nil, idleTimeout: Int? = nil, priority: Priority? = nil,
        environment: CallerEnvironment? = nil
    ) {
        self.profile = profile
        self.region = region
        self.endpoint = endpoint
        self.endpointDNSName = endpointDNSName
        self.maxDuration = maxDuration
        self.idleTimeout = idleTimeout
        self.priority = priority
        self.environment = environment
    }
}

/// Who is served first while an endpoint's slots are taken.
public enum Priority: String, Codable, Hashable, Sendable, CaseIterable {
    case interactive, normal
}

extension TunnelSetting {
    /// Every setting of a tunnel. The command line, the configuration, the control protocol, the saved forwards and the
    /// documentation follow this table.
    public static let all: [TunnelSetting] = [
        .text(
            "profile", \.profile, valueName: "profile", in: [.requests, .defaults, .forwards, .unset],
            expected: "the name of an AWS profile", where: Identifier.isName, suggests: .profiles,
            help: "A profile of the AWS configuration.",
            meaning: "Whose credentials. Without it as the AWS CLI chooses: `AWS_PROFILE`, then the profile "
                + "\"default\"."),
        .text(
            "region", \.region, valueName: "region", in: [.requests, .defaults, .profiles, .forwards, .unset],
            expected: "an AWS region such as \"eu-west-1\"", where: Identifier.isRegion, suggests: .regions,
            help: "A region.",
            meaning: "Where the endpoint is. Without it as the AWS CLI chooses: `AWS_REGION`, then the profile's."),
        .text(
            "endpoint", \.endpoint, valueName: "eice-…", in: [.requests, .profiles, .forwards, .unset],
            expected: "the id of an EC2 Instance Connect Endpoint (eice-…)", where: Identifier.isEndpoint,
            suggests: .endpoints, hint: "eicectl endpoints lists them",
            help: "The endpoint to use, and no other.",
            meaning: "Use this endpoint and no other. Without it the one of the target's subnet, else of its VPC."),
        .text(
            "endpointDNSName", \.endpointDNSName, option: "endpoint-dns", of: "endpoint", valueName: "name",
            in: [.requests, .profiles, .forwards],
            expected: "the endpoint's DNS name", where: Identifier.isHostName,
            hint: "it is like eice-….ec2-instance-connect-endpoint.eu-west-1.amazonaws.com",
            help: "That endpoint's DNS name: with it and an address as TARGET nothing is looked up.",
            meaning: "The DNS name of `endpoint`: with it and an address as the target nothing is looked up."),
        .seconds(
            "maxDuration", \.maxDuration, ServiceLimits.tunnelSeconds, standard: ServiceLimits.tunnelSeconds.upperBound,
            in: [.requests, .defaults, .profiles, .forwards, .unset],
            help: "Close a tunnel after this long",
            meaning:
                "After how long a tunnel is closed. The service is told, too, since its policies may demand it; it "
                + "ends every tunnel after an hour."),
        .seconds(
            "idleTimeout", \.idleTimeout, 1...86_400, zero: "none",
            in: [.requests, .defaults, .profiles, .forwards, .unset],
            help: "Close a tunnel after this long without a byte",
            meaning: "After how long without a byte in either direction a tunnel is closed."),
        .choice(
            "priority", \.priority, standard: .normal, in: [.requests, .forwards],
            help: "Whom to serve first when an endpoint is full.",
            meaning: "Who is served first while an endpoint's slots are taken: three interactive connections for each "
                + "normal one."),
    ]
}

/// The settings of a forward that a tunnel does not have.
public enum ForwardLimits {
    /// More than a few warm tunnels would only take slots from colleagues.
    public static let warmTunnels = 0...5

    /// - Parameter kind: `.usage` for a command line, `.invalidRequest` for a request.
    public static func check(warm count: Int?, as kind: Failure.Kind) throws(Failure) {
        guard let count, !warmTunnels.contains(count) else { return }
        throw Failure(
            kind, "\(count) warm tunnels are out of range", why: "a forward keeps at most \(warmTunnels.upperBound)")
    }
}
