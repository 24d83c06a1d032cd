import Failures

/// `forward.add`: one forward for each mapping, all or none.
public struct ForwardAddParameters: Codable, Hashable, Sendable {
    /// The forward's name; with several mappings each is called `NAME-REMOTEPORT`. Nil: made from the target.
    public var name: String?
    public var target: String
    public var mappings: [Mapping]
    /// The address to listen on; nil: both loopback addresses.
    public var bind: String?
    /// Whether an address that is not loopback is allowed.
    public var allowRemote: Bool
    public var options: TunnelOptions
    /// Open tunnels to keep ready.
    public var warm: Int?
    /// Whether the forward is forgotten when the daemon ends.
    public var ephemeral: Bool

    public init(
        name: String? = nil, target: String, mappings: [Mapping], bind: String? = nil, allowRemote: Bool = false,
        options: TunnelOptions = TunnelOptions(), warm: Int? = nil, ephemeral: Bool = false
    ) {
        self.name = name
        self.target = target
        self.mappings = mappings
        self.bind = bind
        self.allowRemote = allowRemote
        self.options = options
        self.warm = warm
        self.ephemeral = ephemeral
    }

    enum CodingKeys: String, CodingKey {
        case name, target, mappings, bind, allowRemote, options, warm, ephemeral
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decodeIfPresent(String.self, forKey: .name)
        target = try container.decode(String.self, forKey: .target)
        mappings = try container.decode([Mapping].self, forKey: .mappings)
        bind = try container.decodeIfPresent(String.self, forKey: .bind)
        allowRemote = try container.decodeIfPresent(Bool.self, forKey: .allowRemote) ?? false
        options = try container.decodeIfPresent(TunnelOptions.self, forKey: .options) ?? TunnelOptions()
        warm = try container.decodeIfPresent(Int.self, forKey: .warm)
        ephemeral = try container.decodeIfPresent(Bool.self, forKey: .ephemeral) ?? false
    }
}

/// A remote port and where to listen for it.
public struct Mapping: Codable, Hashable, Sendable {
    public var remotePort: UInt16
    /// Nil: a free port, chosen by the daemon.
    public var local: LocalAddress?

    public init(remotePort: UInt16, local: LocalAddress? = nil) {
        self.remotePort = remotePort
        self.local = local
    }
}

/// Where a forward listens: `{"port": 2222}` or `{"path": "/run/user/1000/db.sock"}`. Port 0 is "choose one".
public enum LocalAddress: Hashable, Sendable {
    case port(UInt16)
    case path(String)
}

extension LocalAddress: Codable {
    enum CodingKeys: String, CodingKey {
        case port, path
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch (
            try container.decodeIfPresent(UInt16.self, forKey: .port),
            try container.decodeIfPresent(String.self, forKey: .path)
        ) {
        case (let port?, nil): self = .port(port)
        case (nil, let path?): self = .path(path)
        default:
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: "expected either port or path"))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .port(let port): try container.encode(port, forKey: .port)
        case .path(let path): try container.encode(path, forKey: .path)
        }
    }
}

/// The result of `forward.add` (what was added) and of `forward.list`.
public struct ForwardListResult: Codable, Hashable, Sendable {
    public var forwards: [ForwardInfo]

    public init(forwards: [ForwardInfo]) { self.forwards = forwards }
}

/// `forward.remove`: all of them or, if one is unknown, none.
public struct ForwardRemoveParameters: Codable, Hashable, Sendable {
    public var names: [String]

    public init(names: [String]) { self.names = names }
}

public struct ForwardRemoveResult: Codable, Hashable, Sendable {
    public var removed: [String]

    public init(removed: [String]) { self.removed = removed }
}
