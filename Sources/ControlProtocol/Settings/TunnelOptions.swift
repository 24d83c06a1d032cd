import Failures

// What the table of settings makes possible for all of them at once.

extension TunnelOptions {
    /// What the table has as defaults.
    public static let standard: TunnelOptions = {
        var options = TunnelOptions()
        for setting in TunnelSetting.all { _ = setting.set(setting.standard, in: &options) }
        return options
    }()

    /// Takes over what is not set here. Settings that belong together come from one side.
    public mutating func fill(from other: TunnelOptions) {
        let given = self
        for setting in TunnelSetting.all where !given.hasAny(of: setting.owner) { setting.copy(from: other, to: &self) }
    }

    /// Whether a setting, or one that belongs to it, is set.
    public func hasAny(of owner: String) -> Bool {
        TunnelSetting.all.contains { $0.owner == owner && $0.isSet(in: self) }
    }

    /// Takes over a setting and those that belong to it, unset too.
    public mutating func take(_ owner: String, from other: TunnelOptions) {
        for setting in TunnelSetting.all where setting.owner == owner { setting.copy(from: other, to: &self) }
    }

    /// - Parameter kind: of the failure for a value that is not allowed.
    public func check(as kind: Failure.Kind) throws(Failure) {
        for setting in TunnelSetting.all { if let problem = setting.problem(of: self, as: kind) { throw problem } }
    }
}

// MARK: JSON

/// The name of a setting as a key.
private struct SettingKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }

    static let environment = SettingKey(stringValue: "environment")
}

extension TunnelOptions: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(settings: decoder)
        environment = try decoder.container(keyedBy: SettingKey.self)
            .decodeIfPresent(CallerEnvironment.self, forKey: .environment)
    }

    public func encode(to encoder: any Encoder) throws {
        try encodeSettings(to: encoder)
        var container = encoder.container(keyedBy: SettingKey.self)
        try container.encodeIfPresent(environment, forKey: .environment)
    }

    /// The settings alone, as members of an object that may have others.
    public init(settings decoder: any Decoder) throws {
        self.init()
        let container = try decoder.container(keyedBy: SettingKey.self)
        for setting in TunnelSetting.all where setting.places.contains(.requests) {
            let key = SettingKey(stringValue: setting.name)
            let value: TunnelSetting.Value? =
                setting.isLength
                ? try container.decodeIfPresent(Int.self, forKey: key).map { .seconds($0) }
                : try container.decodeIfPresent(String.self, forKey: key).map { .text($0) }
            guard setting.set(value, in: &self) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: container, debugDescription: "expected \(setting.expected)")
            }
        }
    }

    /// The settings alone, into an object that may have other members.
    public func encodeSettings(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: SettingKey.self)
        for setting in TunnelSetting.all where setting.places.contains(.requests) {
            switch setting[self] {
            case .text(let text): try container.encode(text, forKey: SettingKey(stringValue: setting.name))
            case .seconds(let seconds): try container.encode(seconds, forKey: SettingKey(stringValue: setting.name))
            case nil: break
            }
        }
    }
}
