import AWS
import Basics
import Bounds
import Failures
import InstanceConnect
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import Synchronization

/// Turns what a user named into what can be dialed, and signs each dial. The daemon fulfils it with discovery and
/// credentials; it is a protocol so that the data path knows neither.
public protocol TunnelRouter: Sendable {
    func resolve(_ request: RouteRequest) async throws(Failure) -> Route
    /// Gets what signing needs, before a dial asks for a slot: a source of credentials that hangs or needs a person holds none, and
    /// no endpoint is blamed for it. Returns what signs without waiting, for a dial that follows soon, if there is such a thing.
    func prepareToSign(_ request: RouteRequest) async throws(Failure) -> TunnelSigner?
    /// Whom the dial is to trust; nil: as everybody.
    func trust(_ request: RouteRequest) async throws(Failure) -> TLSContext?
    /// What the first two wait for, where they take long and it is known. At once, from any thread.
    func awaited(by request: RouteRequest) -> AwaitedPart?
    /// - Parameter maxDuration: seconds, 1…3600.
    func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel
    /// Puts right what an endpoint refused about a signature: a clock that is off, credentials that have expired. Returns
    /// whether a dial that is signed again may be taken.
    func correct(_ refusal: Refusal, of signed: SignedTunnel, for request: RouteRequest) async throws(Failure) -> Bool
    /// Returns when the identity of a request can sign again, after a person has logged in.
    func awaitLogin(_ request: RouteRequest) async throws(Failure)
    /// What is known of the target may be wrong: the next `resolve` asks anew.
    func forget(_ request: RouteRequest) async
}

/// Signs at once, for a life of so many seconds, 1…3600; nil where the credentials have expired meanwhile.
public typealias TunnelSigner = @Sendable (_ route: Route, _ maxDuration: Int) -> SignedTunnel?

extension TunnelRouter {
    public func trust(_ request: RouteRequest) async throws(Failure) -> TLSContext? { nil }
}

/// What a look-up waits for.
public struct AwaitedPart: Hashable, Sendable {
    /// "the source of the credentials".
    public let name: String
    /// Whether it is a helper on this machine: its silence is a fault to be corrected, where a network's may pass.
    public let isHelper: Bool

    public init(name: String, isHelper: Bool) {
        self.name = name
        self.isHelper = isHelper
    }
}

extension Failure {
    /// A look-up took longer than it may.
    ///
    /// - Parameter subject: "web-1:22".
    public static func lookUpTookTooLong(_ subject: String, _ timeout: Duration, awaited: AwaitedPart?) -> Failure {
        let who = awaited.map { " from \($0.name)" } ?? ""
        return Failure(
            awaited?.isHelper == true ? .helperFailed : .deadline, "resolving \(subject) took too long",
            why: "no answer\(who) within \(DurationText.format(timeout))")
    }
}

/// A signed request for one tunnel. Secret: it must not be logged.
public struct SignedTunnel: Sendable {
    public let url: OpenTunnelURL
    /// Who signed, for the sentences about refusals.
    public let credentials: Credentials

    public init(url: OpenTunnelURL, credentials: Credentials) {
        self.url = url
        self.credentials = credentials
    }

    /// What must not be shown of anything that repeats the request: the token, the signature and the key's id.
    var secrets: [String?] { [credentials.sessionToken, url.signature, credentials.accessKeyID] }
}

/// What every tunnel needs. Made once by the daemon.
public struct TunnelServices: Sendable {
    public var router: any TunnelRouter
    public var resolver: Resolver
    /// Whom dials trust that are not told otherwise (``TunnelRouter/trust(_:)``).
    public var tls: TLSContext
    /// Connect here instead of to the endpoint's own name, which SNI, Host and the certificate check keep
    /// (`EICED_CONNECT_TO`). It is also what a proxy is chosen for and asked for.
    public var connectTo: HostAndPort?
    /// Which proxy a tunnel's connection goes through, if any.
    public var proxies: ProxySettings
    public var timeouts: TunnelTimeouts
    public var userAgent: String
    public var spares = SpareSettings()
    /// How old a warm tunnel may become before it is renewed.
    public var warmTimeToLive = TunnelServices.standardWarmTimeToLive
    /// Below sshd's LoginGraceTime of 120 s, of which a log-in needs its share.
    public static let standardWarmTimeToLive = Duration.seconds(60)
    /// Which endpoints answer pings.
    let pings = PingKnowledge()
    /// Where tunnels' TLS handshakes are done when there are several.
    var handshakes: LoopBound<Handshakes>
    /// Where tunnels are queued and dialed.
    public var control: Loop
    /// Where open tunnels live.
    public var relays: RelayLoops
    /// How much makes a tunnel a bulk transfer.
    var pace = Pace.Limits()
    public var pools: LoopBound<EndpointPools>
    public var logger: Logger

    public init(
        router: any TunnelRouter, resolver: Resolver, tls: TLSContext, connectTo: HostAndPort?, proxies: ProxySettings,
        timeouts: TunnelTimeouts, userAgent: String, relays: RelayLoops, pools: EndpointPools, logger: Logger,
        on control: isolated Loop
    ) {
        self.router = router
        self.resolver = resolver
        self.tls = tls
        self.connectTo = connectTo
        self.proxies = proxies
        self.timeouts = timeouts
        self.userAgent = userAgent
        self.control = control
        self.relays = relays
        self.pools = LoopBound(pools, on: control)
        handshakes = LoopBound(Handshakes(), on: control)
        self.logger = logger
    }

    var hostConnect: HostConnect.Settings {
        HostConnect.Settings(resolver: resolver, proxies: proxies, tls: tls, userAgent: userAgent)
    }
}

/// How many spares an endpoint in use is worth, and how old they may become.
public struct SpareSettings: Hashable, Sendable {
    public var count = 1
    public var timeToLive = Duration.seconds(60)

    public init() {}
}

/// Which endpoints have answered a ping: only from these is silence an answer too. From any thread.
final class PingKnowledge: Sendable {
    private let answering = Mutex(Recent<String, Bool>())

    func answers(_ endpointID: String) -> Bool { answering.withLock { $0.use(endpointID, at: .now) } ?? false }
    func note(_ endpointID: String) { answering.withLock { $0.set(true, for: endpointID, at: .now) } }
}
