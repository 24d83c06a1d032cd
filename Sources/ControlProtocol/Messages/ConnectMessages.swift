/// `connect`: a tunnel to a target over this very session, or over a descriptor that comes with the result.
public struct ConnectParameters: Codable, Hashable, Sendable {
    public var target: String
    public var remotePort: UInt16
    /// True: the result line carries one end of a socket pair (SCM_RIGHTS). False: after the result's newline the
    /// session is the stream.
    public var handoff: Bool
    /// True: before its reply the session may get notices (``ConnectNotice``), for whoever waits.
    public var notices: Bool
    public var options: TunnelOptions

    public init(
        target: String, remotePort: UInt16, handoff: Bool = false, notices: Bool = false,
        options: TunnelOptions = TunnelOptions()
    ) {
        self.target = target
        self.remotePort = remotePort
        self.handoff = handoff
        self.notices = notices
        self.options = options
    }

    enum CodingKeys: String, CodingKey {
        case target, remotePort, handoff, notices, options
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        target = try container.decode(String.self, forKey: .target)
        remotePort = try container.decode(UInt16.self, forKey: .remotePort)
        handoff = try container.decodeIfPresent(Bool.self, forKey: .handoff) ?? false
        notices = try container.decodeIfPresent(Bool.self, forKey: .notices) ?? false
        options = try container.decodeIfPresent(TunnelOptions.self, forKey: .options) ?? TunnelOptions()
    }
}

/// What somebody who waits for a tunnel should know, before it is open: that a person has to log in, that all slots are taken, that
/// its traffic will be billed.
public struct ConnectNotice: Codable, Hashable, Sendable {
    /// A stable word, for programs; there may be more.
    public struct Kind: RawRepresentable, Codable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        public static let login = Self(rawValue: "login")
        public static let slot = Self(rawValue: "slot")
        public static let zone = Self(rawValue: "zone")
    }

    public var kind: Kind
    /// One sentence.
    public var text: String
    /// What to do about it.
    public var hint: String?

    public init(_ kind: Kind, _ text: String, hint: String? = nil) {
        self.kind = kind
        self.text = text
        self.hint = hint
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
