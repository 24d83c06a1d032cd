import Failures
import SocketIO

/// An endpoint as its slots are counted: whoever asks, by whatever profile.
public struct EndpointKey: Hashable, Sendable {
    public let region: String
    public let id: String

    public init(region: String, id: String) {
        self.region = region
        self.id = id
    }
}

/// One endpoint's slots and queue. Confined to the control loop.
public final class EndpointPool {
    public let key: EndpointKey
    /// The DNS name that was dialed last.
    public internal(set) var dnsName: String
    /// What failed last, at this endpoint.
    public internal(set) var lastFailure: Failure?
    private var machine: PoolStateMachine
    private var waiting: [PoolStateMachine.Ticket: (Result<Void, Failure>) -> Void] = [:]
    private var nextTicket: UInt64 = 0

    init(key: EndpointKey, dnsName: String, cap: Int, queueLength: Int) {
        self.key = key
        self.dnsName = dnsName
        machine = PoolStateMachine(cap: cap, queueLength: queueLength)
    }

    public var cap: Int { machine.cap }
    public var inUse: Int { machine.inUse }
    public var queued: Int { machine.queued }

    /// Asks for a slot. `completion` comes once: at once, or when a slot is free, unless `withdraw` comes first. Who got
    /// the slot must give it back with `release`.
    func request(completion: @escaping (Result<Void, Failure>) -> Void) -> PoolStateMachine.Ticket {
        let ticket = PoolStateMachine.Ticket(number: nextTicket)
        nextTicket += 1
        waiting[ticket] = completion
        run(machine.request(ticket))
        return ticket
    }

    func withdraw(_ ticket: PoolStateMachine.Ticket) {
        waiting[ticket] = nil
        machine.withdraw(ticket)
    }

    func release() { run(machine.release()) }

    func setCap(_ cap: Int) { run(machine.setCap(cap)) }

    private func run(_ decisions: [PoolStateMachine.Decision]) {
        for decision in decisions {
            switch decision {
            case .grant(let ticket):
                if let completion = waiting.removeValue(forKey: ticket) {
                    completion(.success(()))
                } else {
                    // Withdrawn by the completion before it in this list.
                    release()
                }
            case .refuse(let ticket):
                waiting.removeValue(forKey: ticket)?(
                    .failure(
                        Failure(
                            .endpointFull, "\(key.id) is full",
                            why: "\(inUse) of \(cap) slots are in use and \(queued) connections wait already",
                            hint: "see who holds the slots: eicectl status")))
            }
        }
    }
}

/// All endpoints that were used. Confined to the control loop.
public final class EndpointPools {
    /// How many slots an endpoint has, as far as we are concerned.
    public struct Limits: Hashable, Sendable {
        /// The service's own limit for one endpoint, over all users (AWS: "Quotas for EC2 Instance Connect Endpoint").
        public static let serviceLimit = 20

        public var defaultCap = Limits.serviceLimit
        /// By endpoint id.
        public var caps: [String: Int] = [:]
        public var queueLength = 256

        public init() {}

        /// At least 1: with none, nobody could ever be served.
        func cap(for id: String) -> Int { max(1, caps[id] ?? defaultCap) }
    }

    private(set) var limits: Limits
    private var pools: [EndpointKey: EndpointPool] = [:]
    /// To be told when an endpoint has no slot for someone who asked: at most once for each time it fills up.
    public var onFull: ((EndpointPool) -> Void)?

    public init(limits: Limits) { self.limits = limits }

    public var all: [EndpointPool] { pools.values.sorted { ($0.key.region, $0.key.id) < ($1.key.region, $1.key.id) } }

    func pool(_ key: EndpointKey, dnsName: String) -> EndpointPool {
        if let pool = pools[key] {
            pool.dnsName = dnsName
            return pool
        }
        let pool = EndpointPool(
            key: key, dnsName: dnsName, cap: limits.cap(for: key.id), queueLength: limits.queueLength)
        pools[key] = pool
        return pool
    }

    /// Remembers what failed at an endpoint, for `status`.
    func note(_ failure: Failure, at key: EndpointKey) { pools[key]?.lastFailure = failure }

    /// Takes over changed limits; who waits gets what a higher cap gives.
    public func apply(_ limits: Limits) {
        self.limits = limits
        for pool in pools.values { pool.setCap(limits.cap(for: pool.key.id)) }
    }
}
