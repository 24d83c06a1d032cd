import AWS
import Failures
import InstanceConnect
import Tunnels

/// Routes and signatures by discovery and the credential chain.
struct AWSRouter: TunnelRouter {
    let context: AWSContext
    let discovery: Discovery

    init(context: AWSContext) {
        self.context = context
        discovery = Discovery(context: context)
    }

    /// Credentials are got here as well, so that a source that hangs or needs a person holds no slot and blames no endpoint.
    func resolve(_ request: RouteRequest) async throws(Failure) -> Route {
        let route = try await discovery.resolve(request)
        _ = try await context.credentials.credentials(profile: request.profile)
        return route
    }

    func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel {
        let credentials = try await context.credentials.credentials(profile: route.profile)
        let url = OpenTunnelURL(
            route: route, maxDuration: maxDuration, credentials: credentials, at: context.clock.now())
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
