/// How a tunnel is to be made: whose account, through which endpoint, for how long. The same for a forward's tunnels
/// and for `connect`. What is nil is the daemon's to decide.
public struct TunnelOptions: Codable, Hashable, Sendable {
    /// A profile of the AWS configuration, named by `--profile`.
    public var profile: String?
    /// A region, named by `--region`.
    public var region: String?
    /// An endpoint's id (`eice-…`) to use and no other.
    public var endpoint: String?
    /// The DNS name of `endpoint`: with it and an address as the target nothing is looked up.
    public var endpointDNSName: String?
    /// Seconds after which a tunnel is closed, 1…3600.
    public var maxDuration: Int?
    /// Seconds without a byte in either direction after which a tunnel is closed.
    public var idleTimeout: Int?
    public var priority: Priority?
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

/// What the caller's shell says about AWS, below the options. The daemon of a user manager does not see it. Holds no secret;
/// ``AWSVariable`` says what becomes of each variable.
public struct CallerEnvironment: Codable, Hashable, Sendable {
    /// `AWS_PROFILE`, else `AWS_DEFAULT_PROFILE`.
    public var profile: String?
    /// `AWS_REGION`.
    public var region: String?
    /// `AWS_DEFAULT_REGION`.
    public var defaultRegion: String?
    /// The id (never the secret) of `AWS_ACCESS_KEY_ID`, sent where no profile is named, so that the daemon can refuse
    /// rather than use another account by accident.
    public var accessKeyID: String?
    /// The other variables that are sent, by name, with absolute paths. Nil from an `eicectl` that does not send them.
    public var variables: [String: String]?
    /// Those of ``variables`` that name AWS's files, where the file exists.
    public var files: [String]?

    public init(
        profile: String? = nil, region: String? = nil, defaultRegion: String? = nil, accessKeyID: String? = nil,
        variables: [String: String]? = nil, files: [String]? = nil
    ) {
        self.profile = profile
        self.region = region
        self.defaultRegion = defaultRegion
        self.accessKeyID = accessKeyID
        self.variables = variables
        self.files = files
    }

    public var isEmpty: Bool { self == CallerEnvironment() }

    /// Whether a variable has a field of its own instead of a place in ``variables``.
    public static func hasField(_ variable: AWSVariable) -> Bool {
        variable.group == .profile || variable.group == .region || variable.group == .keys
    }
}
