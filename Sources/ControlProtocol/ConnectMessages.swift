/// `connect`: a tunnel to a target over this very session, or over a descriptor that comes with the result.
public struct ConnectParameters: Codable, Hashable, Sendable {
    public var target: String
    public var remotePort: UInt16
    /// True: the result line carries one end of a socket pair (SCM_RIGHTS). False: after the result's newline the
    /// session is the stream.
    public var handoff: Bool
    public var options: TunnelOptions

    public init(
        target: String, remotePort: UInt16, handoff: Bool = false, options: TunnelOptions = TunnelOptions()
    ) {
        self.target = target
        self.remotePort = remotePort
        self.handoff = handoff
        self.options = options
    }

    enum CodingKeys: String, CodingKey {
        case target, remotePort, handoff, options
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        target = try container.decode(String.self, forKey: .target)
        remotePort = try container.decode(UInt16.self, forKey: .remotePort)
        handoff = try container.decodeIfPresent(Bool.self, forKey: .handoff) ?? false
        options = try container.decodeIfPresent(TunnelOptions.self, forKey: .options) ?? TunnelOptions()
    }
}

public struct ConnectResult: Codable, Hashable, Sendable {
    /// The tunnel's id.
    public var tunnel: String
    public var handoff: Bool
    public var address: String?
    public var endpoint: String?
    public var requestID: String?

    public init(
        tunnel: String, handoff: Bool, address: String? = nil, endpoint: String? = nil, requestID: String? = nil
    ) {
        self.tunnel = tunnel
        self.handoff = handoff
        self.address = address
        self.endpoint = endpoint
        self.requestID = requestID
    }
}
