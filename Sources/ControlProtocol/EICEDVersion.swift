/// The version of these programs and of the control protocol they speak.
public enum EICEDVersion {
    /// The release, the same for `eiced`, `eicectl` and `eice-emulator`.
    public static let current = "0.1.0"
    /// What this build speaks on the control socket.
    public static let controlProtocol = ProtocolVersion(major: 1, minor: 0)
}

/// A version of the control protocol. Within one major any client works with any daemon: fields and methods are only
/// added (a higher minor), and who does not know a field ignores it.
public struct ProtocolVersion: Codable, Hashable, Sendable {
    public var major: Int
    public var minor: Int

    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }
}
