/// How long each part of a tunnel's life may take, and the defaults of the configuration. One deadline for each phase of
/// a dial and one over all of it, so that nothing at the other end can hold a slot for ever.
public struct TunnelTimeouts: Hashable, Sendable {
    /// Target to endpoint and address: the API calls of discovery.
    public var resolve = Duration.seconds(10)
    /// For a person to log in again, where an identity's log-in ran out.
    public var login = Duration.seconds(300)
    /// In the endpoint's queue for a slot, all waits of one connection together.
    public var queue = Duration.seconds(30)
    /// The endpoint's name to a TCP connection.
    public var connect = Duration.seconds(10)
    /// The proxy, where there is one: TLS with it, and its answer to CONNECT.
    public var proxy = Duration.seconds(10)
    /// Less than ten seconds with the connection before it: by then whoever waits is to know.
    public var tls = Duration.seconds(8)
    public var upgrade = Duration.seconds(10)
    /// Where the client waits for the target's first bytes (see ``TunnelRequest/waitsForTarget``).
    public var firstBytes = Duration.seconds(20)
    /// From the slot to an open tunnel: connect, proxy, TLS, upgrade.
    public var dial = Duration.seconds(30)
    /// The target's silence after the client's half-close.
    public var drain = Duration.seconds(10)
    /// The close handshake; after it the socket is closed and the slot is free. Also how long a local client has to
    /// answer our end of file with its own.
    public var close = Duration.seconds(2)
    /// How long a local client has to take the target's last bytes once the target has closed. No slot is held
    /// meanwhile.
    public var delivery = Duration.seconds(60)

    public init() {}
}

/// The parts of a dial, in order; a failure names the one it happened in.
public enum DialPhase: String, Hashable, Sendable, CaseIterable {
    case connect
    /// The connection leads to a proxy, which is asked for the endpoint.
    case proxy
    case tls
    case upgrade

    /// "timed out during …".
    public var name: String {
        switch self {
        case .connect: "TCP connect"
        case .proxy: "proxy's CONNECT"
        case .tls: "TLS handshake"
        case .upgrade: "WebSocket upgrade"
        }
    }
}

extension TunnelTimeouts {
    subscript(phase: DialPhase) -> Duration {
        switch phase {
        case .connect: connect
        case .proxy: proxy
        case .tls: tls
        case .upgrade: upgrade
        }
    }
}
