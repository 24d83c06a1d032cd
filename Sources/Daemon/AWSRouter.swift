import AWS
import Failures
import InstanceConnect
import Logging
import OpenSSL
import SocketIO
import Transport

/// Routes and signatures by discovery and the credential chain. What a dial has used is kept young for the next one.
struct AWSRouter: InstanceConnectRouter {
    private let context: AWSContext
    private let discovery: Discovery
    private let store: TrustStore
    private let renewals: LoopBound<Renewals>

    /// A name was asked for after discovery and may outlive its answers, so it is renewed with them unless it is quite young.
    private static let marginOfNames = Resolver.timeToLive - .seconds(10)

    /// - Parameters:
    ///   - lookUpTimeToLive: how long what EC2 says is believed.
    ///   - resolver: the one that dials ask, whose answers are renewed as well.
    init(
        context: AWSContext, lookUpTimeToLive: Duration, trust: TrustStore, resolver: Resolver, logger: Logger,
        on loop: isolated Loop
    ) {
        self.context = context
        store = trust
        let discovery = Discovery(context: context, timeToLive: lookUpTimeToLive)
        self.discovery = discovery
        renewals = LoopBound(
            Renewals(RenewalTimes(timeToLive: lookUpTimeToLive), logger: logger) {
                (request, margin) throws(Failure) in
                _ = try await context.under(request.environment).credentials.credentials(profile: request.profile)
                let (route, end) = try await discovery.renew(request, leaving: margin)
                for case let host? in route.candidates.map(\.host) {
                    // Behind a proxy a dial asks for the proxy's name alone.
                    let proxy = try context.proxies.server(forHost: host.host, port: Int(host.port))
                    resolver.renew(proxy?.host ?? host.host, leaving: Self.marginOfNames)
                }
                return end
            }, on: loop)
    }

    /// Of what is looked up from now on.
    func apply(lookUpTimeToLive length: Duration, on loop: isolated Loop) {
        discovery.apply(timeToLive: length)
        renewals.get(on: loop).apply(RenewalTimes(timeToLive: length))
    }

    func resolve(_ request: RouteRequest) async throws(Failure) -> Route { try await discovery.resolve(request) }

    func prepareToSign(_ request: RouteRequest) async throws(Failure) -> TunnelSigner? {
        let credentials = try await context.under(request.environment).credentials.credentials(profile: request.profile)
        let renewals = renewals
        renewals.loop.submit { loop in renewals.get(on: loop).used(request, on: loop) }
        return { [clock = context.clock] route, maxDuration in
            guard !credentials.isExpired(at: clock.now()) else { return nil }
            return Self.sign(route, maxDuration: maxDuration, with: credentials, by: clock)
        }
    }

    func trust(_ request: RouteRequest) async throws(Failure) -> TLSContext? {
        let roots = try await context.under(request.environment).trustRoots(profile: request.profile)
        return try await store.context(trusting: roots)
    }

    func awaited(by request: RouteRequest) -> AwaitedPart? {
        let context = context.under(request.environment)
        if let path = context.files.hanging { return AwaitedPart(name: path, isHelper: false) }
        guard let source = context.credentials.awaitedSource(profile: request.profile) else { return nil }
        let whose = request.profile.map { " of profile \($0)" } ?? ""
        return AwaitedPart(
            name: "\(source.name), the source of the credentials\(whose),", isHelper: source.isLocal)
    }

    func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel {
        let credentials = try await context.under(route.environment).credentials.credentials(profile: route.profile)
        return Self.sign(route, maxDuration: maxDuration, with: credentials, by: context.clock)
    }

    private static func sign(
        _ route: Route, maxDuration: Int, with credentials: Credentials, by clock: SigningClock
    ) -> SignedTunnel {
        let time = clock.now(for: .endpoint(route.path.host?.host ?? ""))
        let url = OpenTunnelURL(route: route, maxDuration: maxDuration, credentials: credentials, at: time)
        return SignedTunnel(url: url, credentials: credentials)
    }

    func correct(
        _ refusal: Refusal, of signed: SignedTunnel, for request: RouteRequest
    ) async throws(Failure) -> Bool {
        guard let flaw = refusal.flaw(of: signed.credentials, signedAt: signed.url.signedAt) else { return false }
        let lesson = try await context.under(request.environment).correct(
            flaw, of: signed.credentials, profile: request.profile, endpoint: signed.url.host, why: refusal.summary)
        // The API may have been right when it was asked and the clock have been set since: the next look-up asks it again.
        if lesson == .contradicted { await discovery.forget(request) }
        return lesson != .implausible
    }

    func awaitLogin(_ request: RouteRequest) async throws(Failure) {
        _ = try await context.under(request.environment).credentials.credentialsAfterLogin(profile: request.profile)
    }

    func forget(_ request: RouteRequest) async { await discovery.forget(request) }
}
