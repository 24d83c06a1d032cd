/// The result of `metrics`.
public struct MetricsResult: Codable, Hashable, Sendable {
    /// OpenMetrics 1.0, from the first `# TYPE` to `# EOF`.
    public var text: String

    public init(text: String) { self.text = text }
}

/// `forward.probe`: whether a forward's target can be reached now. One attempt, through a tunnel that takes a slot and is
/// closed at once.
public struct ForwardProbeParameters: Codable, Hashable, Sendable {
    public var name: String
    /// Seconds after which the daemon gives up, 1…3600; nil: its timeouts for a dial alone.
    public var timeout: Int?

    public init(name: String, timeout: Int? = nil) {
        self.name = name
        self.timeout = timeout
    }
}

/// The target answered.
public struct ForwardProbeResult: Codable, Hashable, Sendable {
    public var forward: String
    /// The id of the tunnel that found out.
    public var tunnel: String
    public var address: String?
    public var endpoint: String?
    /// From the request to the target's answer.
    public var milliseconds: Int

    public init(
        forward: String, tunnel: String, address: String? = nil, endpoint: String? = nil, milliseconds: Int
    ) {
        self.forward = forward
        self.tunnel = tunnel
        self.address = address
        self.endpoint = endpoint
        self.milliseconds = milliseconds
    }
}

/// How the credentials of a profile in use stand.
public struct CredentialInfo: Codable, Hashable, Sendable {
    /// Nil: what the daemon uses where no profile is named.
    public var profile: String?
    /// Variables of a shell that count instead of the daemon's; nil where none do.
    public var environment: [String: String]?
    /// Nil: none were needed yet, or they have no known end.
    public var expiresAt: Timestamp?

    public init(profile: String? = nil, environment: [String: String]? = nil, expiresAt: Timestamp? = nil) {
        self.profile = profile
        self.environment = environment
        self.expiresAt = expiresAt
    }
}

/// Where the audit goes, and whether it can be written.
public struct AuditInfo: Codable, Hashable, Sendable {
    public var path: String
    /// Tunnels that could not be recorded since the daemon began.
    public var lost: Int
    /// Why the audit cannot be written now.
    public var failure: FailureRecord?

    public init(path: String, lost: Int = 0, failure: FailureRecord? = nil) {
        self.path = path
        self.lost = lost
        self.failure = failure
    }
}
