/// `hello`: the first request of every session.
public struct HelloParameters: Codable, Hashable, Sendable {
    public var `protocol`: ProtocolVersion
    /// The client's name and release, for the log: "eicectl 0.1.0".
    public var client: String?

    public init(protocol version: ProtocolVersion = EICEDVersion.controlProtocol, client: String? = nil) {
        `protocol` = version
        self.client = client
    }
}

public struct HelloResult: Codable, Hashable, Sendable {
    /// What the daemon speaks.
    public var `protocol`: ProtocolVersion
    /// The running daemon's release.
    public var version: String
    public var pid: Int

    public init(
        protocol version: ProtocolVersion = EICEDVersion.controlProtocol,
        version release: String = EICEDVersion.current,
        pid: Int
    ) {
        `protocol` = version
        self.version = release
        self.pid = pid
    }
}
