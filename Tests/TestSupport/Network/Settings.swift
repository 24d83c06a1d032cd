import ControlProtocol

extension ForwardSetParameters.Setting {
    public static let profile = named("profile")
    public static let region = named("region")
    public static let endpoint = named("endpoint")
    public static let maxDuration = named("maxDuration")
    public static let idleTimeout = named("idleTimeout")

    private static func named(_ name: String) -> Self {
        guard let setting = Self(rawValue: name) else { fatalError("\(name) has no default") }
        return setting
    }
}

extension TunnelOptions {
    /// With a value of one setting, whichever that is.
    public init(with setting: TunnelSetting) {
        self.init()
        for text in setting.choices + ["1m", "eice-1"] where setting.read(text, into: &self) { return }
        fatalError("no value is known for \(setting.name)")
    }
}
