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

    /// How connections to endpoints are made.
    public struct Settings: Sendable {
        public var resolver: Resolver
        /// Trust roots for dials whose request names none (``InstanceConnectRouter/trust(_:)``).
        public var tls: TLSContext
        /// Connect here instead of to the endpoint's own name, which SNI, Host and the certificate check keep
        /// (`EICED_CONNECT_TO`). Proxies are chosen for this address and asked for it, too.
        public var connectTo: HostAndPort?
        public var proxies: ProxySettings
        public var userAgent: String
        public var timeouts = DialTimeouts()
        public var spares = SpareSettings()

        public init(
            resolver: Resolver, tls: TLSContext, connectTo: HostAndPort?, proxies: ProxySettings, userAgent: String
        ) {
            self.resolver = resolver
            self.tls = tls
            self.connectTo = connectTo
            self.proxies = proxies
            self.userAgent = userAgent
        }

        func hostConnect(trusting roots: TLSContext) -> HostConnect.Settings {
            HostConnect.Settings(resolver: resolver, proxies: proxies, tls: roots, userAgent: userAgent)
        }
    }

    /// What a look-up leaves for the dial that follows.
    struct Preparation: Sendable {
        /// Trust roots for the dial; nil means the daemon's default.
        let trust: TLSContext?
        let signer: TunnelSigner?
        /// After a longer wait for a slot, credentials are asked for again.
        var signerEnds: ContinuousClock.Instant
    }

    private static let signerTimeToLive = Duration.seconds(5)

    private let router: any InstanceConnectRouter
    let dialer: LoopBound<EndpointDialer>

    public init(router: any InstanceConnectRouter, settings: Settings, logger: Logger, on control: isolated Loop) {
        self.init(router: router, settings: settings, handshakes: Handshakes(), logger: logger, on: control)
    }

    init(
        router: any InstanceConnectRouter, settings: Settings, handshakes: Handshakes, logger: Logger,
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
        let preparation = Preparation(
            trust: try await router.trust(request), signer: signer, signerEnds: .now + Self.signerTimeToLive)
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

/// How long each phase of a dial may take, so that no server can hold a slot for ever, and the defaults of the
/// configuration.
public struct DialTimeouts: Hashable, Sendable {
    /// The endpoint's name to a TCP connection.
    public var connect = Duration.seconds(10)
    /// The proxy, if there is one: TLS with it, and its answer to CONNECT.
    public var proxy = Duration.seconds(10)
    /// Together with the TCP connection below 10 s, which clients wait for.
    public var tls = Duration.seconds(8)
    public var upgrade = Duration.seconds(10)

    public init() {}

    var connectPhase: DialPhase { DialPhase(id: "connect", name: "TCP connect", limit: connect) }
    var proxyPhase: DialPhase { DialPhase(id: "proxy", name: "proxy's CONNECT", limit: proxy) }
    var tlsPhase: DialPhase { DialPhase(id: "tls", name: "TLS handshake", limit: tls) }
    var upgradePhase: DialPhase { DialPhase(id: "upgrade", name: "WebSocket upgrade", limit: upgrade) }
}

/// How many spares an endpoint in use is worth, and how old they may become.
public struct SpareSettings: Hashable, Sendable {
    public var count = 1
    public var timeToLive = Duration.seconds(60)

    public init() {}
}
