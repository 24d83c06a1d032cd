import Failures

/// A forward, as the daemon shows it.
public struct ForwardInfo: Codable, Hashable, Sendable {
    public var name: String
    public var target: String
    public var remotePort: UInt16
    /// What it listens on: `127.0.0.1:2222`, `[::1]:2222`, or a Unix socket's path.
    public var addresses: [String]
    /// Where tunnels go by what is known now. Nil: not known before the first dial.
    public var profile: String?
    public var region: String?
    /// Variables of the shell that it was added from, where they count instead of the daemon's (``AWSVariable``).
    public var environment: [String: String]?
    public var endpoint: String?
    public var state: State
    public var lastFailure: FailureRecord?
    /// Tunnels open now.
    public var tunnels: Int
    /// Seconds.
    public var maxDuration: Int
    /// Seconds; nil: no limit.
    public var idleTimeout: Int?
    public var ephemeral: Bool
    public var priority: Priority
    public var origin: Origin
    /// Whether others than this host can reach it.
    public var remoteAllowed: Bool
    /// Connections that were refused: others' than those who may use it, and web clients. Nil from an older daemon.
    public var refused: Int?

    public enum State: String, Codable, Hashable, Sendable {
        case listening, failed
    }

    /// Where a forward comes from.
    public enum Origin: String, Codable, Hashable, Sendable {
        case request, configuration
    }

    public init(
        name: String, target: String, remotePort: UInt16, addresses: [String], profile: String? = nil,
        region: String? = nil, environment: [String: String]? = nil, endpoint: String? = nil, state: State = .listening,
        lastFailure: FailureRecord? = nil,
        tunnels: Int = 0, maxDuration: Int, idleTimeout: Int? = nil, ephemeral: Bool = false,
        priority: Priority = .normal, origin: Origin = .request, remoteAllowed: Bool = false, refused: Int? = nil
    ) {
        self.name = name
        self.target = target
        self.remotePort = remotePort
        self.addresses = addresses
        self.profile = profile
        self.region = region
        self.environment = environment
        self.endpoint = endpoint
        self.state = state
        self.lastFailure = lastFailure
        self.tunnels = tunnels
        self.maxDuration = maxDuration
        self.idleTimeout = idleTimeout
        self.ephemeral = ephemeral
        self.priority = priority
        self.origin = origin
        self.remoteAllowed = remoteAllowed
        self.refused = refused
    }
}

/// A failure and when it happened.
public struct FailureRecord: Codable, Hashable, Sendable {
    public var when: Timestamp
    public var failure: Failure
    /// What it happened to, where that is not plain from where the record stands: a forward's name or a target.
    public var subject: String?

    public init(when: Timestamp, failure: Failure, subject: String? = nil) {
        self.when = when
        self.failure = failure
        self.subject = subject
    }
}
