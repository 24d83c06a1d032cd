/// What the caller's shell says about AWS, below the options. The daemon of a user manager does not see it. Holds no secret;
/// ``AWSVariable`` says what becomes of each variable.
public struct CallerEnvironment: Codable, Hashable, Sendable {
    /// `AWS_PROFILE`, else `AWS_DEFAULT_PROFILE`.
    public var profile: String?
    /// `AWS_REGION`.
    public var region: String?
    /// `AWS_DEFAULT_REGION`.
    public var defaultRegion: String?
    /// The id (never the secret) of `AWS_ACCESS_KEY_ID`, sent where no profile is named, so that the daemon can refuse
    /// rather than use another account by accident.
    public var accessKeyID: String?
    /// The other variables that are sent, by name, with absolute paths. Nil from an `eicectl` that does not send them.
    public var variables: [String: String]?
    /// Those of ``variables`` that name AWS's files, where the file exists.
    public var files: [String]?

    public init(
        profile: String? = nil, region: String? = nil, defaultRegion: String? = nil, accessKeyID: String? = nil,
        variables: [String: String]? = nil, files: [String]? = nil
    ) {
        self.profile = profile
        self.region = region
        self.defaultRegion = defaultRegion
        self.accessKeyID = accessKeyID
        self.variables = variables
        self.files = files
    }

    public var isEmpty: Bool { self == CallerEnvironment() }

    /// Whether a variable has a field of its own instead of a place in ``variables``.
    public static func hasField(_ variable: AWSVariable) -> Bool {
        variable.group == .profile || variable.group == .region || variable.group == .keys
    }
}
