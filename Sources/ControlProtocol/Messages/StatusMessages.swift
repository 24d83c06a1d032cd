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
    /// Nil from a daemon that does not tell, as the next one.
    public var spares: Spares?
    public var totals: Totals?

    /// Connections made ahead of a dial, in no slot.
    public struct Spares: Codable, Hashable, Sendable {
        public var ready: Int
        /// None are made before this.
        public var pausedUntil: Timestamp?
        /// Why none are made, in words.
        public var why: String?

        public init(ready: Int, pausedUntil: Timestamp? = nil, why: String? = nil) {
            self.ready = ready
            self.pausedUntil = pausedUntil
            self.why = why
        }
    }

    /// What was counted since the daemon began.
    public struct Totals: Codable, Hashable, Sendable {
        /// Connections that found no free slot and had to wait.
        public var waited: Int
        /// Connections that were turned away since the queue was full.
        public var turnedAway: Int
        /// Dials that the service refused since the endpoint was full.
        public var refusedAsFull: Int

        public init(waited: Int, turnedAway: Int, refusedAsFull: Int) {
            self.waited = waited
            self.turnedAway = turnedAway
            self.refusedAsFull = refusedAsFull
        }
    }

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
        id: String, dnsName: String, region: String, slots: Slots, queued: Int = 0, lastFailure: FailureRecord? = nil,
        spares: Spares? = nil, totals: Totals? = nil
    ) {
        self.id = id
        self.dnsName = dnsName
        self.region = region
        self.slots = slots
        self.queued = queued
        self.lastFailure = lastFailure
        self.spares = spares
        self.totals = totals
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
    /// Earlier processes of this daemon that handed over and go on until their tunnels have ended. Nil from a daemon that does
    /// not tell.
    public var draining: [DrainingProcess]?

    public init(
        version: String = EICEDVersion.current, pid: Int, uptime: Int, socket: String, forwards: [ForwardInfo] = [],
        tunnels: [TunnelInfo] = [], endpoints: [EndpointInfo] = [], recentFailures: [FailureRecord] = [],
        needsLogin: [NeededLogin] = [], credentials: [CredentialInfo]? = nil, audit: AuditInfo? = nil,
        warnings: [FailureRecord]? = nil, draining: [DrainingProcess]? = nil
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
        self.draining = draining
    }
}

/// A process that handed over to this daemon, and what it still holds of the endpoints' slots.
public struct DrainingProcess: Codable, Hashable, Sendable {
    public var pid: Int
    public var slots: Int

    public init(pid: Int, slots: Int) {
        self.pid = pid
        self.slots = slots
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
