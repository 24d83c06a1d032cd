/// The result of `reload`: what the changed configuration changed.
public struct ReloadResult: Codable, Hashable, Sendable {
    /// Names of forwards.
    public var added: [String]
    public var removed: [String]
    public var changed: [String]
    public var warnings: [String]

    public init(added: [String] = [], removed: [String] = [], changed: [String] = [], warnings: [String] = []) {
        self.added = added
        self.removed = removed
        self.changed = changed
        self.warnings = warnings
    }
}

/// `shutdown`.
public struct ShutdownParameters: Codable, Hashable, Sendable {
    /// Seconds that open tunnels may go on; nil: the daemon's own default.
    public var drain: Int?
    /// Whether a new process takes over first: the daemon's program as it is installed now, or the one at ``successor``. Nobody
    /// is refused meanwhile, and open tunnels go on until they end.
    public var handover: Bool?
    /// The path of a socket of sequenced packets, on which a process of the same user waits to take over.
    public var successor: String?

    public init(drain: Int? = nil, handover: Bool? = nil, successor: String? = nil) {
        self.drain = drain
        self.handover = handover
        self.successor = successor
    }
}

/// The result of `shutdown`: sent before the daemon begins to stop; at a hand-over once the new process is ready.
public struct ShutdownResult: Codable, Hashable, Sendable {
    /// Tunnels that are drained now.
    public var tunnels: Int
    /// Seconds they have.
    public var drain: Int
    /// The process that took over.
    public var successor: Int?

    public init(tunnels: Int, drain: Int, successor: Int? = nil) {
        self.tunnels = tunnels
        self.drain = drain
        self.successor = successor
    }
}
