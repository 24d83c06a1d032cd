import Bounds
import Failures
import SocketIO
import Transport

/// All endpoints that were used within a day. Confined to the control loop.
public final class GatewayPools {
    /// How many slots an endpoint has, as far as we are concerned.
    public struct Limits: Hashable, Sendable {
        public var defaultCap = ServiceLimits.connectionsPerEndpoint
        /// By endpoint id.
        public var caps: [String: Int] = [:]
        public var queueLength = 256
        /// How long the client of an open tunnel may send nothing before its slot is given to an interactive tunnel that waits.
        var patience = PoolStateMachine.patience

        public init() {}

        /// At least 1, because every tunnel needs a slot.
        func cap(for id: String) -> Int { max(1, caps[id] ?? defaultCap) }
    }

    private(set) var limits: Limits
    private var pools = Recent<Gateway, GatewayPool> { $0.isAtRest }
    private let now: () -> ContinuousClock.Instant
    private let tickets = TicketCounter()
    /// To be told when an endpoint has no slot for someone who asked: at most once for each time it fills up.
    public var onFull: ((GatewayPool) -> Void)?

    /// To be told when the slots that we hold are others. Set before the first pool.
    public var onUse: (() -> Void)?

    public init(limits: Limits, now: @escaping () -> ContinuousClock.Instant = { .now }) {
        self.limits = limits
        self.now = now
    }

    /// By region and id.
    public var all: [GatewayPool] {
        pools.forgetUnused(at: now())
        return pools.values.sorted { ($0.gateway.region, $0.gateway.id) < ($1.gateway.region, $1.gateway.id) }
    }

    /// Whether a gateway has as many slots as anybody asks for (``TransportLimits/capacity``). Set once, before the first
    /// pool.
    var isUnlimited: (Gateway) -> Bool = { _ in false }

    /// - Parameter host: the gateway's host name, if it has one.
    func pool(_ gateway: Gateway, host: String?) -> GatewayPool {
        let now = now()
        if let pool = pools.use(gateway, at: now) {
            if let host { pool.host = host }
            return pool
        }
        let pool = GatewayPool(
            gateway, host: host, cap: isUnlimited(gateway) ? nil : limits.cap(for: gateway.id),
            queueLength: limits.queueLength, patience: limits.patience, tickets: tickets, pools: self)
        pools.set(pool, for: gateway, at: now)
        return pool
    }

    /// Nil for an endpoint that was not used within a day.
    func existing(_ key: Gateway) -> GatewayPool? { pools.peek(key) }

    /// So many slots are held by other processes of ours now; none of endpoints that are not named.
    ///
    /// - Parameter taken: by gateway, with the host name by which it was dialed.
    public func setTaken(_ taken: [Gateway: (count: Int, host: String?)], on loop: isolated Loop) {
        // So that `status` has them before this process dials.
        for (gateway, slots) in taken where pools.peek(gateway) == nil { _ = pool(gateway, host: slots.host) }
        for pool in pools.values { pool.setTaken(taken[pool.gateway]?.count ?? 0, on: loop) }
    }

    /// Takes over changed limits; who waits gets what a higher cap gives.
    public func apply(_ limits: Limits, on loop: isolated Loop) {
        self.limits = limits
        for pool in pools.values {
            pool.apply(cap: limits.cap(for: pool.gateway.id), queueLength: limits.queueLength, on: loop)
        }
    }
}
