import Failures
import Logging
import SocketIO
import Transport

/// What every tunnel needs. Made once by the daemon.
public struct TunnelServices: Sendable {
    /// The ways to targets, at least one.
    public var transports: [any Transport]
    public var timeouts: TunnelTimeouts
    /// How old a warm tunnel may become before it is renewed.
    public var warmTimeToLive = TunnelServices.standardWarmTimeToLive
    /// Below sshd's LoginGraceTime of 120 s, of which a log-in needs its share.
    public static let standardWarmTimeToLive = Duration.seconds(60)
    /// Where tunnels are queued and dialed.
    public var control: Loop
    /// Where open tunnels live.
    public var relays: RelayLoops
    /// How much makes a tunnel a bulk transfer.
    var pace = Pace.Limits()
    public var pools: LoopBound<GatewayPools>
    public var logger: Logger

    public init(
        transports: [any Transport], timeouts: TunnelTimeouts, relays: RelayLoops, pools: GatewayPools, logger: Logger,
        on control: isolated Loop
    ) {
        precondition(!transports.isEmpty, "without a transport no tunnel can be opened")
        self.transports = transports
        self.timeouts = timeouts
        self.control = control
        self.relays = relays
        pools.isUnlimited = { gateway in
            // A newer process may have handed over slots of a transport that is unknown here.
            guard let transport = transports.first(where: { $0.kind == gateway.transport }) else { return false }
            return transport.limits(on: control).capacity == nil
        }
        self.pools = LoopBound(pools, on: control)
        self.logger = logger
    }

    /// The transport that looks a target up.
    func transport(for request: RouteRequest) -> any Transport { transports[0] }

    /// The transport that a gateway belongs to.
    func transport(of gateway: Gateway) -> any Transport {
        transports.first { $0.kind == gateway.transport } ?? transports[0]
    }
}
