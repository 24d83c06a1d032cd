import AWS
import Failures
import InstanceConnect
import Logging
import SocketIO
import Tunnels

/// Routes and signatures by discovery and the credential chain. What a dial has used is kept young for the next one.
struct AWSRouter: TunnelRouter {
    private let context: AWSContext
    private let discovery: Discovery
    private let renewals: LoopBound<Renewals>

    /// What lives shorter than this is renewed when a renewal looks at it.
    private static let margin = RenewalTimes().lead + .seconds(5)

    /// A name was asked for after discovery and may outlive its answers, so it is renewed with them unless it is quite young.
    private static let marginOfNames = Resolver.timeToLive - .seconds(10)

    /// - Parameter resolver: the one that dials ask, whose answers are renewed as well.
    init(context: AWSContext, resolver: Resolver, logger: Logger, on loop: isolated Loop) {
        self.context = context
        let discovery = Discovery(context: context)
        self.discovery = discovery
        renewals = LoopBound(
            Renewals(logger: logger) { request throws(Failure) in
                _ = try await context.credentials.credentials(profile: request.profile)
                let (route, end) = try await discovery.renew(request, leaving: Self.margin)
                for endpoint in route.candidates {
                    // Behind a proxy a dial asks for the proxy's name alone.
                    let proxy = try context.proxies.server(forHost: endpoint.dnsName, port: Int(endpoint.port))
                    resolver.renew(proxy?.host ?? endpoint.dnsName, leaving: Self.marginOfNames)
                }
                return end
            }, on: loop)
    }

    func resolve(_ request: RouteRequest) async throws(Failure) -> Route { try await discovery.resolve(request) }

    func prepareToSign(_ request: RouteRequest) async throws(Failure) -> TunnelSigner? {
        let credentials = try await context.credentials.credentials(profile: request.profile)
        let renewals = renewals
        renewals.loop.submit { loop in renewals.get(on: loop).used(request, on: loop) }
        return { [clock = context.clock] route, maxDuration in
            let now = clock.now()
            guard !credentials.isExpired(at: now) else { return nil }
            return Self.sign(route, maxDuration: maxDuration, with: credentials, at: now)
        }
    }

    func awaited(by request: RouteRequest) -> AwaitedPart? {
        guard let source = context.credentials.awaitedSource(profile: request.profile) else { return nil }
        let whose = request.profile.map { " of profile \($0)" } ?? ""
        return AwaitedPart(
            name: "\(source.name), the source of the credentials\(whose),", isHelper: source.isLocal)
    }

    func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel {
        let credentials = try await context.credentials.credentials(profile: route.profile)
        return Self.sign(route, maxDuration: maxDuration, with: credentials, at: context.clock.now())
    }

    private static func sign(
        _ route: Route, maxDuration: Int, with credentials: Credentials, at time: WallTime
    ) -> SignedTunnel {
        let url = OpenTunnelURL(route: route, maxDuration: maxDuration, credentials: credentials, at: time)
        return SignedTunnel(url: url, credentials: credentials)
    }

    func correct(
        _ refusal: Refusal, of signed: SignedTunnel, for request: RouteRequest
    ) async throws(Failure) -> Bool {
        guard let flaw = refusal.flaw(of: signed.credentials, signedAt: signed.url.signedAt) else { return false }
        try await context.correct(flaw, of: signed.credentials, profile: request.profile, why: refusal.summary)
        return true
    }

    func awaitLogin(_ request: RouteRequest) async throws(Failure) {
        _ = try await context.credentials.credentialsAfterLogin(profile: request.profile)
    }

    func forget(_ request: RouteRequest) async { await discovery.forget(request) }
}
