import Basics
import Failures
import Logging
import SecureSocket

/// What every AWS call of the process shares: environment, files, credentials, HTTP, clock. Creating one starts nothing and
/// reads nothing.
public struct AWSContext: Sendable {
    public let environment: Environment
    public let files: SharedConfigFiles
    public let http: HTTPClient
    public let clock: SigningClock
    public let credentials: CredentialChain
    public let proxies: ProxySettings
    public let logger: Logger
    private let sources: [any CredentialSource]?
    private let onLoginChange: CredentialChain.LoginObserver?
    private let derived = DerivedContexts<AWSContext>()
    private let ownRegion = ExpiringCache<String, String>(timeToLive: .seconds(3_600))

    /// - Parameter sources: nil for the standard ones. The context of a shell then gets its own, since sources remember
    ///   credentials.
    public init(
        environment: Environment,
        http: HTTPClient = HTTPClient(),
        clock: SigningClock = SigningClock(),
        sources: [any CredentialSource]? = nil,
        onLoginChange: CredentialChain.LoginObserver? = nil,
        logger: Logger
    ) {
        self.environment = environment
        self.http = http
        self.clock = clock
        self.logger = logger
        self.sources = sources
        self.onLoginChange = onLoginChange
        files = SharedConfigFiles(environment: environment)
        proxies = ProxySettings(environment: environment)
        credentials = CredentialChain(
            environment: environment, files: files, http: http, clock: clock,
            sources: sources ?? CredentialChain.standardSources, onLoginChange: onLoginChange, logger: logger)
    }

    /// The context of a request whose shell says something about AWS: with files, credentials and trust of its own, which no
    /// other shell shares. The means to send and the clock are the same.
    ///
    /// - Parameter overlay: nil for a request that says nothing.
    public func under(_ overlay: EnvironmentOverlay?) -> AWSContext {
        guard let overlay, !overlay.isEmpty else { return self }
        return derived.context(overlay) {
            AWSContext(
                environment: overlay.applied(to: environment), http: http, clock: clock, sources: sources,
                onLoginChange: onLoginChange, logger: logger)
        }
    }

    /// The settings of a profile; of the environment's, else the default one, where `name` is nil.
    /// - Throws: `.unknownProfile`, `.malformedFile`, `.configuration`.
    public func profile(_ name: String?) async throws(Failure) -> SharedConfig.Section {
        try profile(name, in: try await files.load())
    }

    private func profile(_ name: String?, in config: SharedConfig) throws(Failure) -> SharedConfig.Section {
        let wanted = Identity(profile: name).profileName(in: environment)
        // As with credentials: a profile that only AWS_PROFILE names does not count beside keys in the environment.
        if name == nil, environment["AWS_ACCESS_KEY_ID"] != nil, config.profiles[wanted] == nil {
            return try config.profile("default")
        }
        return try config.profile(wanted)
    }

    /// The region of a request: the one it names, the environment's, the profile's, that of the instance the daemon runs on.
    /// It may be a pseudo region, which asks for FIPS endpoints: ``Region/resolve(_:)``.
    /// - Throws: `.noRegion`, or what reading the profile throws.
    public func region(named region: String?, profile name: String?) async throws(Failure) -> String {
        let call = try await call(profile: name)
        if let region = Region.configured(named: region, environment: environment, profile: call.profile) {
            _ = try Region.checked(region)
            return region
        }
        // Last, as in the AWS CLI: off EC2 this waits a second for an answer that never comes.
        return try await ownRegion.value("", what: "cannot find the region") { () throws(Failure) in
            do {
                let region = try await MetadataClient(call: call).get("/latest/meta-data/placement/region")
                return try Region.checked(region)
            } catch {
                throw Region.missing(profile: call.profile.name)
            }
        }
    }

    /// What calls for a profile need.
    /// - Throws: what reading the profile throws.
    public func call(profile name: String?) async throws(Failure) -> CallContext {
        let config = try await files.load()
        return CallContext(
            environment: environment, config: config, profile: try profile(name, in: config), http: http, clock: clock,
            logger: logger)
    }

    /// Puts right what made an endpoint refuse a signature, so that the caller can sign again. The clock is warned about once.
    /// - Parameter endpoint: its DNS name.
    /// - Returns: what became of its time; `.known` where the clock is not the flaw.
    /// - Throws: for expired credentials whatever their source says; `.expiredCredentials` where it has no others.
    public func correct(
        _ flaw: SignatureFlaw, of credentials: Credentials, profile: String?, endpoint: String, why: String
    ) async throws(Failure) -> SigningClock.Lesson {
        switch flaw {
        case .clock(let time): return clock.correct(by: time, from: .endpoint(endpoint), logger)
        case .credentials:
            _ = try await self.credentials.replace(credentials, profile: profile, why: why)
            return .known
        }
    }

    /// The file of trust roots, for API calls and tunnels: `AWS_CA_BUNDLE`, the profile's `ca_bundle`, `SSL_CERT_FILE`; nil
    /// for the system's.
    public func trustRoots(profile name: String?) async throws(Failure) -> String? {
        try await call(profile: name).trustRoots
    }
}
