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

    public init(drain: Int? = nil) { self.drain = drain }
}

/// The result of `shutdown`: sent before the daemon begins to stop.
public struct ShutdownResult: Codable, Hashable, Sendable {
    /// Tunnels that are drained now.
    public var tunnels: Int
    /// Seconds they have.
    public var drain: Int

    public init(tunnels: Int, drain: Int) {
        self.tunnels = tunnels
        self.drain = drain
    }
}
