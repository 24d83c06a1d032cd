import Basics
import Failures
import SocketIO
import Synchronization
import Transport

/// What somebody asks a tunnel for.
public struct TunnelRequest: Sendable {
    public var route: RouteRequest
    /// The forward whose listener took the connection, by the name that it has now; nil for a `connect` request.
    public var forward: String? { forwardName?.current }
    /// The local client, for people: "127.0.0.1:40022", "ssh (pid 4711)".
    public var peer: String
    public var maxDuration: Duration
    public var idleTimeout: Duration?
    /// Open only when the target has sent something: sshd speaks first, so a dead target can still be told to whoever
    /// waits, instead of a connection that opens and closes.
    public var waitsForTarget: Bool
    /// The same local client, for the audit.
    public var identity = ClientIdentity()
    public var priority = TunnelPriority.normal
    /// Made ahead of time, for a connection that is not there yet.
    var isWarm = false
    private let forwardName: ForwardName?

    public init(
        route: RouteRequest, forward: String? = nil, peer: String, maxDuration: Duration,
        idleTimeout: Duration? = nil, waitsForTarget: Bool = false
    ) {
        self.init(
            route: route, forwardName: forward.map { ForwardName($0) }, peer: peer, maxDuration: maxDuration,
            idleTimeout: idleTimeout, waitsForTarget: waitsForTarget)
    }

    /// - Parameter forwardName: shared by all tunnels of the forward, which may rename itself.
    init(
        route: RouteRequest, forwardName: ForwardName?, peer: String, maxDuration: Duration, idleTimeout: Duration?,
        waitsForTarget: Bool = false
    ) {
        self.route = route
        self.forwardName = forwardName
        self.peer = peer
        self.maxDuration = maxDuration
        self.idleTimeout = idleTimeout
        self.waitsForTarget = waitsForTarget
    }

    /// Those of one forward take turns with those of another, and `proxy` takes turns by target.
    var turnKey: String { forward.map { "forward \($0)" } ?? targetText }

    /// "i-0abc:22".
    public var targetText: String { "\(route.target):\(route.remotePort)" }
}

/// A tunnel as everybody else sees it: what it is, how it does, and the way to close it. From any thread.
public final class TunnelHandle: Sendable {
    public enum State: String, Sendable { case queued, dialing, warm, open, draining, closed }

    /// What a queued tunnel waits for: the look-up of its target, a person's log-in, a slot.
    public enum Wait: String, Sendable { case lookup, login, slot }

    public struct Snapshot: Sendable {
        public var state = State.queued
        public var waitsFor: Wait? = .lookup
        /// The local client, where it came later than the tunnel.
        public var joinedBy: (peer: String, identity: ClientIdentity)?
        public var since: WallTime
        public var route: Route?
        /// `x-amzn-RequestId` of the upgrade: what CloudTrail's event carries.
        public var requestID: String?
        /// To the endpoint, as the kernel measures it: at the opening, and when somebody looked last.
        public var roundTrip: Duration?
        /// When the tunnel's time is over.
        public var expiresAt: WallTime?
        /// The endpoint has answered a ping, on this tunnel or one before it.
        public var answersPings = false
    }

    /// Where the tunnel itself is. This is what keeps it alive.
    enum Home: Sendable {
        case at(LoopBound<Tunnel>)
        /// Between two loops.
        case onTheWay(Loop)
        case nowhere
    }

    /// Counts up from 1 for each daemon.
    public let id: UInt64
    public let request: TunnelRequest
    public let statistics = TunnelStatistics()
    /// When it was asked for, on a clock that nobody sets.
    public let began = ContinuousClock.now
    private let current: Mutex<Snapshot>
    private let home = Mutex(Home.nowhere)

    init(id: UInt64, request: TunnelRequest, since: WallTime) {
        self.id = id
        self.request = request
        current = Mutex(Snapshot(since: since))
    }

    public var snapshot: Snapshot { current.withLock { $0 } }

    /// The local client, for people.
    public var peer: String { snapshot.joinedBy?.peer ?? request.peer }

    /// The same, for the audit.
    public var identity: ClientIdentity { snapshot.joinedBy?.identity ?? request.identity }

    /// "t42".
    public var name: String { "t\(id)" }

    func update(_ change: (inout Snapshot) -> Void) { current.withLock { change(&$0) } }

    func move(to home: Home) { self.home.withLock { $0 = home } }

    /// Brings ``Snapshot/roundTrip`` up to date, soon.
    public func measure() { visit { tunnel, _ in tunnel.measure() } }

    /// Asks the endpoint soon whether it is alive; only open tunnels have something to ask.
    func probe() { visit { tunnel, loop in tunnel.probe(on: loop) } }

    /// Where the tunnel is on this loop, the tunnel itself.
    func tunnel(on loop: isolated Loop) -> Tunnel? {
        guard case .at(let place) = home.withLock({ $0 }), place.loop === loop else { return nil }
        return place.get(on: loop)
    }

    /// Goes to the tunnel, wherever it moves, unless it ends meanwhile.
    private func visit(_ body: @escaping @Sendable (Tunnel, isolated Loop) -> Void) {
        let place: Loop
        switch home.withLock({ $0 }) {
        case .nowhere: return
        case .onTheWay(let loop): place = loop
        case .at(let bound): place = bound.loop
        }
        place.submit { loop in
            guard let tunnel = self.tunnel(on: loop) else { return self.visit(body) }
            body(tunnel, loop)
        }
    }

    /// Closes the tunnel soon; harmless when it is closed already.
    public func close(_ reason: CloseReason) { visit { tunnel, loop in tunnel.close(reason, on: loop) } }
}

extension TunnelHandle.State {
    init(_ state: TunnelStateMachine.State) {
        self =
            switch state {
            case .new, .resolving, .queued: .queued
            case .dialing, .awaitingTarget: .dialing
            case .warm: .warm
            case .open: .open
            case .draining: .draining
            case .closed: .closed
            }
    }
}

extension TunnelHandle.Wait {
    /// Nil for a tunnel that waits for nothing.
    init?(_ machine: TunnelStateMachine) {
        switch machine.state {
        case .new, .resolving: self = machine.awaitsLogin ? .login : .lookup
        case .queued: self = .slot
        case .dialing, .awaitingTarget, .warm, .open, .draining, .closed: return nil
        }
    }
}
