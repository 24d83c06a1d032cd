/// `forward.set`: changes one forward in place; its open tunnels go on as they began. What is nil stays as it is.
public struct ForwardSetParameters: Codable, Hashable, Sendable {
    /// The forward's name.
    public var forward: String
    /// Its new name.
    public var name: String?
    public var target: String?
    public var remotePort: UInt16?
    /// Port 0 chooses another free one.
    public var local: LocalAddress?
    public var bind: String?
    public var allowRemote: Bool?
    /// Open tunnels to keep ready.
    public var warm: Int?
    public var ephemeral: Bool?
    /// Their `environment` counts with a `profile` alone, which is read as that shell reads it: a forward keeps what it was added
    /// with until it is told otherwise.
    public var options: TunnelOptions
    /// What is to be as if `forward.add` had not named it.
    public var unset: [Setting]

    /// Something of a forward that has a default: `bind`, `environment`, and the tunnel's settings that say so.
    public struct Setting: RawRepresentable, Codable, Hashable, Sendable, CaseIterable {
        public let rawValue: String
        /// As `--unset` has it.
        public let option: String

        private init(_ name: String, option: String) {
            rawValue = name
            self.option = option
        }

        /// Nil for a setting without a default.
        public init?(rawValue: String) {
            guard let setting = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
            self = setting
        }

        public static let bind = Setting("bind", option: "bind")
        public static let environment = Setting("environment", option: "environment")
        public static let allCases =
            [bind, environment]
            + TunnelSetting.all.filter { $0.places.contains(.unset) }.map { Setting($0.name, option: $0.option) }
    }

    public init(
        forward: String, name: String? = nil, target: String? = nil, remotePort: UInt16? = nil,
        local: LocalAddress? = nil, bind: String? = nil, allowRemote: Bool? = nil, warm: Int? = nil,
        ephemeral: Bool? = nil,
        options: TunnelOptions = TunnelOptions(), unset: [Setting] = []
    ) {
        self.forward = forward
        self.name = name
        self.target = target
        self.remotePort = remotePort
        self.local = local
        self.bind = bind
        self.allowRemote = allowRemote
        self.warm = warm
        self.ephemeral = ephemeral
        self.options = options
        self.unset = unset
    }

    enum CodingKeys: String, CodingKey {
        case forward, name, target, remotePort, local, bind, allowRemote, warm, ephemeral, options, unset
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        forward = try container.decode(String.self, forKey: .forward)
        name = try container.decodeIfPresent(String.self, forKey: .name)
        target = try container.decodeIfPresent(String.self, forKey: .target)
        remotePort = try container.decodeIfPresent(UInt16.self, forKey: .remotePort)
        local = try container.decodeIfPresent(LocalAddress.self, forKey: .local)
        bind = try container.decodeIfPresent(String.self, forKey: .bind)
        allowRemote = try container.decodeIfPresent(Bool.self, forKey: .allowRemote)
        warm = try container.decodeIfPresent(Int.self, forKey: .warm)
        ephemeral = try container.decodeIfPresent(Bool.self, forKey: .ephemeral)
        options = try container.decodeIfPresent(TunnelOptions.self, forKey: .options) ?? TunnelOptions()
        unset = try container.decodeIfPresent([Setting].self, forKey: .unset) ?? []
    }

    /// Whether it changes anything at all.
    public var isEmpty: Bool { self == ForwardSetParameters(forward: forward) }
}
