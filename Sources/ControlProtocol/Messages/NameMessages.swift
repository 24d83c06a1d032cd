/// `profile.list`: the AWS profiles that the daemon's files have.
public struct ProfileListResult: Codable, Hashable, Sendable {
    /// In alphabetical order.
    public var profiles: [String]

    public init(profiles: [String]) { self.profiles = profiles }
}

/// `target.list`: the instances that a profile sees in a region.
public struct TargetListParameters: Codable, Hashable, Sendable {
    /// Whose instances, and where; `profile`, `region` and `environment` count.
    public var options: TunnelOptions

    public init(options: TunnelOptions = .init()) { self.options = options }

    private enum CodingKeys: String, CodingKey { case options }

    public init(from decoder: any Decoder) throws {
        options =
            try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(TunnelOptions.self, forKey: .options)
            ?? .init()
    }
}

public struct TargetListResult: Codable, Hashable, Sendable {
    public var region: String
    public var targets: [TargetInfo]

    public init(region: String, targets: [TargetInfo]) {
        self.region = region
        self.targets = targets
    }
}

/// An instance that runs or is about to.
public struct TargetInfo: Codable, Hashable, Sendable {
    public var id: String
    /// Its Name tag.
    public var name: String?
    /// Its private address.
    public var address: String?

    public init(id: String, name: String? = nil, address: String? = nil) {
        self.id = id
        self.name = name
        self.address = address
    }
}
