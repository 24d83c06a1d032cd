import Failures
import SocketIO

/// A way to reach targets. The daemon has one of each kind; tunnels use it without knowing which it is.
///
/// Safe to use from any thread, except where a method takes a loop: that is the control loop.
public protocol Transport: Sendable {
    /// A stable word: the transport of a ``Gateway``, in messages and in the hand-over.
    var kind: String { get }
    /// The limits as the configuration has them now.
    func limits(on loop: isolated Loop) -> TransportLimits

    /// Looks up a target and prepares what a dial needs, so that a source of credentials that hangs holds no slot.
    /// - Throws: `.needsLogin` if a user must log in first; `.deadline` if the calling task is cancelled; else why there is
    ///   no path.
    func resolve(_ request: RouteRequest) async throws(Failure) -> ResolvedRoute
    /// What `resolve` waits for, if it takes long and the reason is known. Returns at once.
    func awaited(by request: RouteRequest) -> AwaitedPart?
    /// Returns when a user has logged in and the request can be resolved.
    func awaitLogin(_ request: RouteRequest) async throws(Failure)
    /// Drops what is known of a target: the next `resolve` looks it up again.
    func forget(_ request: RouteRequest) async

    /// Whether a dial by this path joins a connection that is open already, and so needs no slot of its own.
    func carries(_ path: Path, on loop: isolated Loop) -> Bool
    /// Opens a connection to the target by the route's path. Reports each phase, then `.opened` or `.refused` once, always
    /// after this method has returned; nothing after ``Dial/cancel(on:)``.
    func dial(
        _ route: Route, _ options: DialOptions, on loop: isolated Loop,
        report: @escaping (DialEvent) -> Void
    ) -> any Dial

    /// Connections that the transport keeps ready for a gateway's next dials; nil if it keeps none.
    func reserve(of gateway: Gateway, on loop: isolated Loop) -> GatewayReserve?
    /// The machine slept, or its routes changed: connections that are kept ready are useless.
    func disturbed(on loop: isolated Loop)
    /// Memory is given back: replaces what is kept ready, because it lies between what closed tunnels leave.
    func renewReserves(on loop: isolated Loop)
}

/// The properties of a transport that tunnels ask for instead of assuming them.
public struct TransportLimits: Hashable, Sendable {
    /// Slots of one gateway, each for one connection to it; nil if there is no limit.
    public var capacity: Int?
    /// How long a tunnel may live; nil if there is no limit.
    public var maxDuration: Duration?
    /// The phase that every dial begins with.
    public var firstPhase: DialPhase

    public init(capacity: Int?, maxDuration: Duration?, firstPhase: DialPhase) {
        self.capacity = capacity
        self.maxDuration = maxDuration
        self.firstPhase = firstPhase
    }
}

/// The result of a look-up.
public struct ResolvedRoute: Sendable {
    public let route: Route
    /// The transport's own, for the dials that follow (``DialOptions/preparation``). The first one may come after a long wait for a
    /// slot.
    public let preparation: (any Sendable)?

    public init(_ route: Route, preparation: (any Sendable)? = nil) {
        self.route = route
        self.preparation = preparation
    }
}

/// Connections that are ready for the next dials.
public struct GatewayReserve: Hashable, Sendable {
    public let ready: Int
    /// How much longer none are made, because the service closes them too soon; nil while they are made.
    public let pausedFor: Duration?

    public init(ready: Int, pausedFor: Duration?) {
        self.ready = ready
        self.pausedFor = pausedFor
    }
}

extension Transport {
    public func carries(_ path: Path, on loop: isolated Loop) -> Bool { false }
    public func reserve(of gateway: Gateway, on loop: isolated Loop) -> GatewayReserve? { nil }
    public func disturbed(on loop: isolated Loop) {}
    public func renewReserves(on loop: isolated Loop) {}
}
