import Bounds
import Failures
import SocketIO

/// All endpoints that were used within a day. Confined to the control loop.
public final class EndpointPools {
    /// How many slots an endpoint has, as far as we are concerned.
    public struct Limits: Hashable, Sendable {
        public var defaultCap = ServiceLimits.connectionsPerEndpoint
        /// By endpoint id.
        public var caps: [String: Int] = [:]
        public var queueLength = 256
        /// How long the client of an open tunnel may send nothing before its slot is given to an interactive tunnel that waits.
        var patience = PoolStateMachine.patience

        public init() {}

        /// At least 1: with none, nobody could ever be served.
        func cap(for id: String) -> Int { max(1, caps[id] ?? defaultCap) }
    }

    private(set) var limits: Limits
    private var pools = Recent<EndpointKey, EndpointPool> { $0.isAtRest }
    private let now: () -> ContinuousClock.Instant
    private let tickets = TicketCounter()
    /// To be told when an endpoint has no slot for someone who asked: at most once for each time it fills up.
    public var onFull: ((EndpointPool) -> Void)?

    /// To be told when the slots that we hold are others. Set before the first pool.
    public var onUse: (() -> Void)?

    public init(limits: Limits, now: @escaping () -> ContinuousClock.Instant = { .now }) {
        self.limits = limits
        self.now = now
    }

    /// By region and id.
    public var all: [EndpointPool] {
        pools.forgetUnused(at: now())
        return pools.values.sorted { ($0.key.region, $0.key.id) < ($1.key.region, $1.key.id) }
    }

    func pool(_ key: EndpointKey, dnsName: String) -> EndpointPool {
        let now = now()
        if let pool = pools.use(key, at: now) {
            pool.dnsName = dnsName
            return pool
        }
        let pool = EndpointPool(
            key: key, dnsName: dnsName, cap: limits.cap(for: key.id), queueLength: limits.queueLength,
            patience: limits.patience, tickets: tickets, pools: self)
        pools.set(pool, for: key, at: now)
        return pool
    }

    /// Nil for an endpoint that was not used within a day.
    func existing(_ key: EndpointKey) -> EndpointPool? { pools.peek(key) }

    /// So many slots are held by other processes of ours now; none of endpoints that are not named.
    ///
    /// - Parameter taken: by endpoint, with the DNS name by which it was dialed.
    public func setTaken(_ taken: [EndpointKey: (count: Int, dnsName: String)], on loop: isolated Loop) {
        // So that `status` has them, although nobody dials here yet.
        for (key, slots) in taken where pools.peek(key) == nil { _ = pool(key, dnsName: slots.dnsName) }
        for pool in pools.values { pool.setTaken(taken[pool.key]?.count ?? 0, on: loop) }
    }

    /// Takes over changed limits; who waits gets what a higher cap gives.
    public func apply(_ limits: Limits, spares: SpareSettings, on loop: isolated Loop) {
        self.limits = limits
        for pool in pools.values {
            pool.apply(
                cap: limits.cap(for: pool.key.id), queueLength: limits.queueLength, spares: spares, on: loop)
        }
    }
}
