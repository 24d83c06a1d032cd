/// What EC2 Instance Connect Endpoints allow (AWS: "Quotas for EC2 Instance Connect Endpoint").
public enum ServiceLimits {
    /// Seconds that a tunnel may live.
    public static let tunnelSeconds = 1...3_600
    /// Connections through one endpoint, of all its users together.
    public static let connectionsPerEndpoint = 20
}

/// What a port says about the server behind it.
public enum ServerPort {
    public static let ssh: UInt16 = 22

    /// Whether the server sends the first bytes, as SSH servers do (RFC 4253, section 4.2).
    public static func speaksFirst(_ port: UInt16) -> Bool { port == ssh }
}
