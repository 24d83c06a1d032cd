import Basics
import Failures
import OpenSSL
import SecureSocket
import SocketIO
import Synchronization
import Transport

/// How connections to endpoints are made.
public struct InstanceConnectSettings: Sendable {
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
    /// The look-up's name in metrics: it asks what the look-up asked.
    var correctionPhase: DialPhase { DialPhase(id: "resolve", name: "correction of the signature", limit: connect) }
    var upgradePhase: DialPhase { DialPhase(id: "upgrade", name: "WebSocket upgrade", limit: upgrade) }
}

/// How many spares an endpoint in use is worth, and how old they may become.
public struct SpareSettings: Hashable, Sendable {
    public var count = 1
    public var timeToLive = Duration.seconds(60)

    public init() {}
}

/// What the dials of one tunnel share, beginning with what its look-up prepared.
final class DialPreparation: Sendable {
    private struct State {
        var signer: TunnelSigner?
        var signerEnds: ContinuousClock.Instant
        var redaction = Redaction.none
        var mayCorrectSignature = true
    }

    /// Trust roots; nil means the daemon's default.
    let trust: TLSContext?
    private let state: Mutex<State>

    /// - Parameters:
    ///   - signer: signs without waiting. Used once: it keeps the secrets of the credentials.
    ///   - signerEnds: after that, credentials are asked for again.
    init(trust: TLSContext?, signer: TunnelSigner?, until signerEnds: ContinuousClock.Instant) {
        self.trust = trust
        state = Mutex(State(signer: signer, signerEnds: signerEnds))
    }

    /// Settable because tests move time.
    var signerEnds: ContinuousClock.Instant {
        get { state.withLock(\.signerEnds) }
        set { state.withLock { $0.signerEnds = newValue } }
    }

    func takeSigner(at now: ContinuousClock.Instant) -> TunnelSigner? {
        state.withLock { state in
            defer { state.signer = nil }
            return now < state.signerEnds ? state.signer : nil
        }
    }

    /// Hides the secrets of all requests that were signed for the tunnel: the endpoint may repeat one in the reason of a
    /// close that comes an hour later.
    var redaction: Redaction { state.withLock(\.redaction) }
    func hide(_ secrets: [String?]) { state.withLock { $0.redaction.add(secrets) } }

    /// True once.
    func takeCorrection() -> Bool {
        state.withLock { state in
            defer { state.mayCorrectSignature = false }
            return state.mayCorrectSignature
        }
    }
}
