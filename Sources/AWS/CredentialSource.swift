import Failures

/// Whose credentials are meant: a profile, or what the daemon's environment says.
public struct Identity: Sendable, Hashable {
    /// The profile that a request or a forward names; nil where it names none.
    public let profile: String?

    public init(profile: String?) { self.profile = profile }

    /// The profile that the shared files are asked for: the named one, else `AWS_PROFILE`, else `default`.
    public func profileName(in environment: Environment) -> String {
        profile ?? environment.first(of: "AWS_PROFILE", "AWS_DEFAULT_PROFILE") ?? "default"
    }

    /// Whether a person or a variable chose the profile, so that its absence is an error.
    public func namesProfile(in environment: Environment) -> Bool {
        profile != nil || environment.first(of: "AWS_PROFILE", "AWS_DEFAULT_PROFILE") != nil
    }
}

/// What a source may look at.
public struct SourceContext: Sendable {
    public let identity: Identity
    public let environment: Environment
    public let config: SharedConfig
    /// The settings of the identity's profile; empty where there is none.
    public let profile: SharedConfig.Section
    public let http: HTTPClient
    public let clock: SigningClock

    /// `aws … --profile X` takes this suffix in hints; empty for the default profile.
    public var profileOption: String { profile.name == "default" ? "" : " --profile \(profile.name)" }
}

/// One place that credentials can come from. Sources are asked in the order of the chain; the first that applies is the
/// answer, even when it fails: falling through to another account would be worse than an error.
public protocol CredentialSource: Sendable {
    /// As it is called in messages and in docs/credentials.md.
    var name: String { get }
    /// Credentials, or nil where this source is not configured for the identity.
    func credentials(in context: SourceContext) async throws(Failure) -> Credentials?
}
