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

    func resolve(_ request: RouteRequest) async throws(Failure) -> Route { try await discovery.resolve(request) }

    func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel {
        let credentials = try await context.credentials.credentials(profile: route.profile)
        let url = OpenTunnelURL(
            route: route, maxDuration: maxDuration, credentials: credentials, at: context.clock.now())
        return SignedTunnel(url: url, credentials: credentials)
    }

    func awaitLogin(_ request: RouteRequest) async throws(Failure) {
        _ = try await context.credentials.credentialsAfterLogin(profile: request.profile)
    }

    func forget(_ request: RouteRequest) async { await discovery.forget(request) }
}
