/// How long each part of a tunnel's life may take, and the defaults of the configuration. The phases of a dial have limits
/// of their own (``DialPhase/limit``) beside the one for all of it, so that nothing at the other end can hold a slot for
/// ever.
public struct TunnelTimeouts: Hashable, Sendable {
    /// Target to endpoint and address: the API calls of discovery.
    public var resolve = Duration.seconds(10)
    /// For a person to log in again, where an identity's log-in ran out.
    public var login = Duration.seconds(300)
    /// In the endpoint's queue for a slot, all waits of one connection together.
    public var queue = Duration.seconds(30)
    /// Where the client waits for the target's first bytes (see ``TunnelRequest/waitsForTarget``).
    public var firstBytes = Duration.seconds(20)
    /// From the slot to an open tunnel: all phases together.
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
