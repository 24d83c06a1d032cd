public struct EndpointListResult: Codable, Hashable, Sendable {
    public var endpoints: [EndpointInfo]

    public init(endpoints: [EndpointInfo]) { self.endpoints = endpoints }
}

/// An endpoint that the daemon has used or been told of.
public struct EndpointInfo: Codable, Hashable, Sendable {
    public var id: String
    public var dnsName: String
    public var region: String
    public var slots: Slots
    /// Connections that wait for a slot.
    public var queued: Int
    public var lastFailure: FailureRecord?

    public struct Slots: Codable, Hashable, Sendable {
        public var inUse: Int
        /// What may be in use: the configured limit, or less while the service refuses more.
        public var cap: Int
        /// The configured limit.
        public var limit: Int?
        /// Since when the service has refused more than `cap`.
        public var refusedSince: Timestamp?
        /// Warm tunnels among those in use: given up when somebody needs a slot.
        public var warm: Int?

        public init(inUse: Int, cap: Int, limit: Int? = nil, refusedSince: Timestamp? = nil, warm: Int? = nil) {
            self.inUse = inUse
            self.cap = cap
            self.limit = limit
            self.refusedSince = refusedSince
            self.warm = warm
        }
    }

    public init(
        id: String, dnsName: String, region: String, slots: Slots, queued: Int = 0, lastFailure: FailureRecord? = nil
    ) {
        self.id = id
        self.dnsName = dnsName
        self.region = region
        self.slots = slots
        self.queued = queued
        self.lastFailure = lastFailure
    }
}

/// `status`: everything at one glance.
public struct StatusResult: Codable, Hashable, Sendable {
    /// The running daemon's release.
    public var version: String
    public var pid: Int
    /// Seconds since the daemon was ready.
    public var uptime: Int
    /// The control socket's path.
    public var socket: String
    public var forwards: [ForwardInfo]
    public var tunnels: [TunnelInfo]
    public var endpoints: [EndpointInfo]
    /// The latest failures, newest first.
    public var recentFailures: [FailureRecord]
    /// Identities whose login ran out.
    public var needsLogin: [NeededLogin]
    /// One for each profile in use. Nil from a daemon that does not tell.
    public var credentials: [CredentialInfo]?
    public var audit: AuditInfo?
    /// What stands until somebody does something about it: a state file that was set aside or cannot be written. Nil from a
    /// daemon that does not tell.
    public var warnings: [FailureRecord]?

    public init(
        version: String = EICEDVersion.current, pid: Int, uptime: Int, socket: String, forwards: [ForwardInfo] = [],
        tunnels: [TunnelInfo] = [], endpoints: [EndpointInfo] = [], recentFailures: [FailureRecord] = [],
        needsLogin: [NeededLogin] = [], credentials: [CredentialInfo]? = nil, audit: AuditInfo? = nil,
        warnings: [FailureRecord]? = nil
    ) {
        self.version = version
        self.pid = pid
        self.uptime = uptime
        self.socket = socket
        self.forwards = forwards
        self.tunnels = tunnels
        self.endpoints = endpoints
        self.recentFailures = recentFailures
        self.needsLogin = needsLogin
        self.credentials = credentials
        self.audit = audit
        self.warnings = warnings
    }
}

/// An identity that a person has to log in again, and how.
public struct NeededLogin: Codable, Hashable, Sendable {
    /// Nil: the default profile.
    public var profile: String?
    /// What to run: `aws sso login --profile dev`.
    public var command: String

    public init(profile: String? = nil, command: String) {
        self.profile = profile
        self.command = command
    }
}
