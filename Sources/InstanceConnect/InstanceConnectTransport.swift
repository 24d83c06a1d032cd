import Basics
import Failures
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import Transport

/// Tunnels through EC2 Instance Connect Endpoints: one WebSocket each.
public struct InstanceConnectTransport: Transport {
    public static let kind = "eice"
    public var kind: String { Self.kind }

    private static let signerTimeToLive = Duration.seconds(5)

    private let router: any InstanceConnectRouter
    let dialer: LoopBound<EndpointDialer>

    public init(
        router: any InstanceConnectRouter, settings: InstanceConnectSettings, logger: Logger, on control: isolated Loop
    ) {
        self.init(router: router, settings: settings, handshakes: Handshakes(), logger: logger, on: control)
    }

    init(
        router: any InstanceConnectRouter, settings: InstanceConnectSettings, handshakes: Handshakes, logger: Logger,
        on control: isolated Loop
    ) {
        self.router = router
        dialer = LoopBound(
            EndpointDialer(router: router, settings: settings, handshakes: handshakes, logger: logger), on: control)
    }

    /// For dials that begin from now on.
    public func apply(_ timeouts: DialTimeouts, spares: SpareSettings, on loop: isolated Loop) {
        dialer.get(on: loop).apply(timeouts, spares: spares, on: loop)
    }

    public func limits(on loop: isolated Loop) -> TransportLimits {
        TransportLimits(
            capacity: ServiceLimits.connectionsPerEndpoint,
            maxDuration: .seconds(ServiceLimits.tunnelSeconds.upperBound),
            firstPhase: dialer.get(on: loop).settings.timeouts.connectPhase)
    }

    public func resolve(_ request: RouteRequest) async throws(Failure) -> ResolvedRoute {
        let route = try await router.resolve(request)
        let signer = try await router.prepareToSign(request)
        let preparation = DialPreparation(
            trust: try await router.trust(request), signer: signer, until: .now + Self.signerTimeToLive)
        return ResolvedRoute(route, preparation: preparation)
    }

    public func awaited(by request: RouteRequest) -> AwaitedPart? { router.awaited(by: request) }

    public func awaitLogin(_ request: RouteRequest) async throws(Failure) { try await router.awaitLogin(request) }

    public func forget(_ request: RouteRequest) async { await router.forget(request) }

    public func dial(
        _ route: Route, _ options: DialOptions, on loop: isolated Loop,
        report: @escaping (DialEvent) -> Void
    ) -> any Dial {
        EndpointDial(route, options, dialer: dialer.get(on: loop), on: loop, report: report)
    }

    public func reserve(of gateway: Gateway, on loop: isolated Loop) -> GatewayReserve? {
        dialer.get(on: loop).reserve(of: gateway)
    }

    public func disturbed(on loop: isolated Loop) { dialer.get(on: loop).disturbed(on: loop) }

    public func renewReserves(on loop: isolated Loop) { dialer.get(on: loop).renewSpares(on: loop) }
}
