import Basics
import Bounds
import Failures
import Logging
import Synchronization

/// Credentials for each identity: asked from the sources in order, kept while they are valid, renewed ahead of their end,
/// once for all who wait.
///
/// Validity is decided on the wall clock at the moment of use, so that a suspended laptop wakes up to a renewal and not to
/// refused requests.
public actor CredentialChain {
    /// Callers share an answer only where they ask under the same state of the files.
    private struct Flight: Hashable, Sendable {
        var identity: Identity
        var generation: Int
    }

    private struct Cached {
        var credentials: Credentials
        var obtained: WallTime
        /// The state of the shared files they were read under: a change of the files asks anew.
        var generation: Int
        /// Until when they are used past their end before their source is asked again; nil before their end.
        var extendedUntil: WallTime?
    }

    private let environment: Environment
    private let files: SharedConfigFiles
    private let http: HTTPClient
    private let clock: SigningClock
    private let sources: [any CredentialSource]
    private let logger: Logger
    private let flights = SingleFlight<Flight, Credentials>()
    private let watch: LoginWatch
    private let onLoginChange: LoginObserver?
    private var cache = Recent<Identity, Cached>()
    private var logins = Recent<Identity, Failure>()
    /// The last credentials that AWS called expired, by identity: a source that still gives them has nothing new.
    private var refused = Recent<Identity, Refused>()
    private let instant: @Sendable () -> ContinuousClock.Instant

    /// What is under way, by identity.
    private let underWay = Mutex<[Identity: SourceNotes]>([:])

    private struct Refused {
        var credentials: Credentials
        var why: String
        /// They are tried again after this: the service may have been wrong, and nothing else would end it.
        var until: WallTime
    }

    /// Seconds that credentials are not used again after AWS has called them expired.
    private static let refusalLife: Int64 = 60

    /// Told when an identity begins to need a person (the failure says what to run) and when it no longer does (nil).
    public typealias LoginObserver = @Sendable (_ profile: String?, _ failure: Failure?) -> Void

    /// Seconds before their end at which credentials are renewed in the background, at most.
    private static let renewalLead: Int64 = 600
    /// Seconds before their end at which they are not handed out any more without trying to renew them first.
    private static let margin: Int64 = 60
    /// Seconds between two questions for the successors of credentials that are used past their end. Drawn at random, so
    /// that many instances do not ask at the same time after an outage (5 to 10 minutes, as in the AWS SDKs).
    static let extensions: ClosedRange<Int64> = 300...600

    public init(
        environment: Environment,
        files: SharedConfigFiles,
        http: HTTPClient,
        clock: SigningClock,
        sources: [any CredentialSource] = CredentialChain.standardSources,
        loginCheckInterval: Duration = .seconds(1),
        onLoginChange: LoginObserver? = nil,
        instant: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        logger: Logger
    ) {
        self.instant = instant
        self.environment = environment
        self.files = files
        self.http = http
        self.clock = clock
        self.sources = sources
        self.logger = logger
        self.onLoginChange = onLoginChange
        watch = LoginWatch(environment: environment, files: files, interval: loginCheckInterval)
    }

    /// The sources in the AWS CLI's order (botocore's `create_credential_resolver`).
    public static var standardSources: [any CredentialSource] {
        let ofProfiles: [any CredentialSource] = [
            WebIdentityCredentials(), SSOCredentials(), StaticProfileCredentials(.credentials),
            LoginSessionCredentials(),
            ProcessCredentials(), StaticProfileCredentials(.config),
        ]
        let container = ContainerCredentials()
        let metadata = MetadataCredentials()
        let role = AssumeRoleCredentials(profileSources: ofProfiles, container: container, metadata: metadata)
        return [EnvironmentCredentials(), role] + ofProfiles + [LegacyFileCredentials(), container, metadata]
    }

    /// Credentials that are valid now.
    /// - Throws: `.noCredentials`, `.unknownProfile`, `.malformedFile`, `.expiredCredentials`, or what the source that
    ///   applies met; `.deadline` where the calling task is cancelled while it waits.
    public func credentials(profile: String?) async throws(Failure) -> Credentials {
        let identity = Identity(profile: profile)
        let (config, generation) = try await files.loadWithGeneration()
        let flight = Flight(identity: identity, generation: generation)
        let now = clock.now()
        if let cached = cache.use(identity, at: instant()), cached.generation == generation {
            if let until = cached.extendedUntil, now < until { return cached.credentials }
            switch Self.state(of: cached.credentials, obtained: cached.obtained, at: now) {
            case .fresh: return cached.credentials
            case .due:
                flights.start(flight) { () throws(Failure) in
                    try await self.renew(identity, config, generation)
                }
                return cached.credentials
            case .late, .expired: break
            }
        }
        do {
            return try await flights.run(flight, what: "cannot get credentials") { () throws(Failure) in
                try await self.renew(identity, config, generation)
            }
        } catch {
            // A renewal that fails is no reason to refuse what is still valid.
            guard let cached = cache.peek(identity), cached.generation == generation,
                cached.credentials.expiration != nil
            else { throw error }
            guard cached.credentials.isExpired(at: clock.now()) else { return cached.credentials }
            guard cached.credentials.mayOutliveEnd, !Task.isCancelled else { throw error }
            extend(identity, why: error.sentence)
            return cached.credentials
        }
    }

    /// Uses credentials past their end for a while: their source may be in trouble, and whether they still serve is for the
    /// service to say.
    private func extend(_ identity: Identity, why: String) {
        let now = clock.now()
        guard var cached = cache.peek(identity), cached.extendedUntil.map({ $0 <= now }) ?? true else { return }
        cached.extendedUntil = now.advanced(by: .random(in: Self.extensions))
        cache.set(cached, for: identity, at: instant())
        logger.warning("using \(cached.credentials) past their end: \(why)")
    }

    /// The same, but where a person has to log in it waits for that, and goes on the moment the new log-in is there.
    /// `onWait` is called once, with what to tell the person, when the wait begins. The caller bounds the wait by cancelling.
    /// - Throws: what ``credentials(profile:)`` throws; the failure that asked for the log-in where the task is cancelled.
    public func credentialsAfterLogin(
        profile: String?, onWait: @Sendable (Failure) -> Void = { _ in }
    ) async throws(Failure) -> Credentials {
        var hasTold = false
        while true {
            let before = try await watch.snapshot()
            do throws(Failure) {
                return try await credentials(profile: profile)
            } catch {
                guard Self.asksForLogin(error), !Task.isCancelled else { throw error }
                if !hasTold { onWait(error) }
                hasTold = true
                let failure = error
                do throws(Failure) { try await watch.change(since: before) } catch { throw failure }
            }
        }
    }

    /// Credentials instead of those that AWS has just refused as expired.
    /// - Throws: `.expiredCredentials` where the source still gives the refused ones; the identity then needs a person.
    public func replace(
        _ refused: Credentials, profile: String?, why: String = ""
    ) async throws(Failure) -> Credentials {
        let identity = Identity(profile: profile)
        // Keys without a token do not expire, whatever an answer says: they are refused this once.
        let life = refused.sessionToken == nil ? 0 : Self.refusalLife
        let refusal = Refused(credentials: refused, why: why, until: clock.now().advanced(by: life))
        self.refused.set(refusal, for: identity, at: instant())
        // Another caller may have replaced them already.
        if cache.peek(identity)?.credentials == refused { cache.set(nil, for: identity, at: instant()) }
        do throws(Failure) {
            return try await credentials(profile: profile)
        } catch {
            if life == 0 { self.refused.set(nil, for: identity, at: instant()) }
            guard refused.mayOutliveEnd, error.kind != .expiredCredentials, !Task.isCancelled else { throw error }
            // Why the source has no others explains less than what the service said.
            throw Failure.expired(refused, why: [why, error.sentence].filter { !$0.isEmpty }.joined(separator: "; "))
        }
    }

    /// What a person has to do before a profile can be used again; nil where nothing is.
    public func neededLogin(profile: String?) -> Failure? { logins.peek(Identity(profile: profile)) }

    /// The source that a profile's credentials are awaited from at this moment.
    public nonisolated func awaitedSource(profile: String?) -> AwaitedSource? {
        underWay.withLock { $0[Identity(profile: profile)] }?.awaited
    }

    private static func asksForLogin(_ failure: Failure) -> Bool {
        failure.kind == .needsLogin || failure.kind == .expiredCredentials
    }

    private func note(_ identity: Identity, _ failure: Failure?) {
        let before = logins.use(identity, at: instant())
        guard before != failure else { return }
        logins.set(failure, for: identity, at: instant())
        onLoginChange?(identity.profile, failure)
    }

    /// Drops what is known: AWS has refused these credentials as expired, or a log-in has happened.
    public func forget(profile: String?) { cache.set(nil, for: Identity(profile: profile), at: instant()) }

    /// When the credentials in use for a profile end; nil where that is unknown or none are in use.
    public func expiration(profile: String?) -> WallTime? {
        cache.peek(Identity(profile: profile))?.credentials.expiration
    }

    enum Freshness { case fresh, due, late, expired }

    /// How credentials stand at a moment: renewed in the background in the last quarter of their life, ten minutes at
    /// most; waited for in the last minute.
    static func state(of credentials: Credentials, obtained: WallTime, at now: WallTime) -> Freshness {
        guard let end = credentials.expiration else { return .fresh }
        let left = end.secondsSinceEpoch - now.secondsSinceEpoch
        let life = max(0, end.secondsSinceEpoch - obtained.secondsSinceEpoch)
        if left <= 0 { return .expired }
        if left <= min(margin, life / 8) { return .late }
        return left <= min(renewalLead, life / 4) ? .due : .fresh
    }

    private func renew(
        _ identity: Identity, _ config: SharedConfig, _ generation: Int
    ) async throws(Failure) -> Credentials {
        do throws(Failure) {
            let credentials = try await ask(identity, config)
            let now = clock.now()
            if let refused = refused.use(identity, at: instant()), refused.credentials == credentials,
                refused.until > now || refused.credentials.sessionToken == nil
            {
                throw Failure.expired(credentials, why: refused.why)
            }
            refused.set(nil, for: identity, at: instant())
            note(identity, nil)
            let isExpired = credentials.isExpired(at: now)
            if isExpired, let kept = cache.peek(identity), kept.generation == generation,
                let end = kept.credentials.expiration, let other = credentials.expiration, end > other
            {
                // Older than what is in use: the source has nothing new.
                if kept.credentials.isExpired(at: now) { extend(identity, why: "their source gives older ones") }
                return kept.credentials
            }
            cache.set(
                Cached(credentials: credentials, obtained: now, generation: generation), for: identity, at: instant())
            if isExpired { extend(identity, why: "their source gives no newer ones") }
            return credentials
        } catch {
            logger.debug("credentials were not renewed: \(error)")
            if Self.asksForLogin(error) { note(identity, error) }
            throw error
        }
    }

    private func ask(_ identity: Identity, _ config: SharedConfig) async throws(Failure) -> Credentials {
        let profileName = identity.profileName(in: environment)
        let call = CallContext(
            environment: environment, config: config, profile: try profile(profileName, of: identity, config),
            http: http,
            clock: clock, logger: logger)
        let context = SourceContext(identity: identity, call: call)
        underWay.withLock { $0[identity] = context.notes }
        defer { underWay.withLock { $0[identity] = nil } }
        for source in sources {
            context.notes.ask(source)
            guard let credentials = try await source.checkedCredentials(in: context) else { continue }
            guard !credentials.isExpired(at: clock.now()) || credentials.mayOutliveEnd else {
                throw Failure.expired(credentials)
            }
            logger.debug("using \(credentials)")
            return credentials
        }
        let asked = "asked: \(sources.map(\.name).joined(separator: ", "))"
        throw Failure(
            .noCredentials, "no AWS credentials for profile \(profileName)",
            why: ListText.brief([asked] + context.notes.all, separator: "; ", longest: 400),
            hint: config.profiles.isEmpty
                ? "aws configure, or set AWS_PROFILE in the daemon's environment"
                : "name one of these with --profile: \(ListText.brief(config.profiles.keys.sorted()))")
    }

    /// The environment's keys win over a profile that only AWS_PROFILE names, so its absence is no error beside them.
    private func profile(
        _ name: String, of identity: Identity, _ config: SharedConfig
    ) throws(Failure) -> SharedConfig.Section {
        if identity.profile == nil, environment["AWS_ACCESS_KEY_ID"] != nil, config.profiles[name] == nil {
            return try config.profile("default")
        }
        return try config.profile(name)
    }
}

/// The credentials of one profile, for a service.
struct ProfileCredentials: CredentialProvider {
    let chain: CredentialChain
    /// Nil for the default one.
    let profile: String?

    func credentials() async throws(Failure) -> Credentials { try await chain.credentials(profile: profile) }

    func replace(_ refused: Credentials, why: String) async throws(Failure) {
        _ = try await chain.replace(refused, profile: profile, why: why)
    }
}
