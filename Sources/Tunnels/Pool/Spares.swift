import Failures
import InstanceConnect
import Logging
import SecureSocket
import SocketIO
import WebSocket

/// The spares of one endpoint name: connections with TLS done, bound to no target, in no slot, so that a dial costs one
/// round trip. Confined to the control loop.
final class Spares {
    private let endpoint: Endpoint
    private var services: TunnelServices
    private(set) var policy: SparePolicy
    private var ready: [Spare] = []
    private var underWay: Spare?
    private var lastUse = ContinuousClock.now
    private var check: Deadline?
    private var refill: Deadline?

    /// How long the place of a spare that was taken stays empty: a handshake is work, and is not to be in the way of the dial
    /// that the spare was taken for.
    private static let refillDelay = Duration.milliseconds(5)
    /// How long an endpoint is without spares while memory is given back, which takes milliseconds.
    private static let renewalDelay = Duration.milliseconds(500)

    init(_ endpoint: Endpoint, services: TunnelServices) {
        self.endpoint = endpoint
        self.services = services
        policy = SparePolicy(wanted: services.spares.count, timeToLive: services.spares.timeToLive)
    }

    var count: Int { ready.count }

    /// There are none, and none are wanted.
    func isAtRest(at now: ContinuousClock.Instant) -> Bool {
        ready.isEmpty && underWay == nil && policy.target(lastUse: lastUse, at: now) == 0 && policy.pausedUntil == nil
    }

    /// The freshest one, which is the least likely to be stale; nil when there is none. Another one is made.
    func take(on loop: isolated Loop) -> RemoteConnection? {
        lastUse = .now
        let spare = ready.popLast()
        guard let spare else {
            keepUp(on: loop)
            return nil
        }
        policy.used()
        scheduleRefill(after: Self.refillDelay, on: loop)
        return spare.give()
    }

    /// The endpoint is in use: makes what is missing, drops what is too old.
    func keepUp(on loop: isolated Loop) {
        let now = ContinuousClock.now
        let target = policy.target(lastUse: lastUse, at: now)
        for spare in ready where spare.age(at: now) >= policy.timeToLive { drop(spare, on: loop) }
        while ready.count > target { ready.removeFirst().close(on: loop) }
        if ready.count < target, underWay == nil {
            underWay = Spare(endpoint, services: services, on: loop) { [weak self] spare, event in
                self?.noticed(spare, event, on: loop)
            }
        }
        schedule(on: loop)
    }

    private func noticed(_ spare: Spare, _ event: Spare.Event, on loop: isolated Loop) {
        switch event {
        case .ready:
            underWay = nil
            ready.append(spare)
            keepUp(on: loop)
        case .failed:
            if underWay === spare {
                // The next dial will tell what is wrong; until then nobody tries again.
                underWay = nil
            } else {
                policy.died(age: spare.age(at: .now), at: .now)
                ready.removeAll { $0 === spare }
                keepUp(on: loop)
            }
            spare.close(on: loop)
        }
    }

    private func drop(_ spare: Spare, on loop: isolated Loop) {
        spare.close(on: loop)
        ready.removeAll { $0 === spare }
    }

    /// Takes over changed settings; those that are too many or too old are closed.
    func apply(_ settings: SpareSettings, on loop: isolated Loop) {
        guard settings != services.spares else { return }
        services.spares = settings
        policy.apply(wanted: settings.count, timeToLive: settings.timeToLive)
        keepUp(on: loop)
    }

    /// All of them are useless: the route changed, or the machine slept. While the endpoint is in use others take their place.
    func replaceAll(on loop: isolated Loop) {
        for spare in ready { spare.close(on: loop) }
        ready = []
        underWay?.close(on: loop)
        underWay = nil
        services.resolver.forget(endpoint.dnsName)
        keepUp(on: loop)
    }

    /// Memory is given back: spares were made beside tunnels that have gone and lie between what these left, so each keeps whole pages
    /// from being free. Others take their place when that is over.
    func renew(on loop: isolated Loop) {
        guard !ready.isEmpty else { return }
        for spare in ready { spare.close(on: loop) }
        ready = []
        scheduleRefill(after: Self.renewalDelay, on: loop)
    }

    private func scheduleRefill(after delay: Duration, on loop: isolated Loop) {
        guard refill == nil else { return }
        refill = loop.schedule(after: delay) { [weak self] in
            self?.refill = nil
            self?.keepUp(on: loop)
        }
    }

    /// While there are any, one look at each oldest one's end; with none, nothing is scheduled, and an endpoint at rest
    /// costs nothing.
    private func schedule(on loop: isolated Loop) {
        if let check { loop.cancel(check) }
        check = ready.first.map { oldest in
            loop.schedule(at: oldest.born + policy.timeToLive, tolerance: .seconds(1)) { [weak self] in
                guard let self else { return }
                check = nil
                keepUp(on: loop)
            }
        }
    }
}

/// One spare, from its connect to the moment it is given to a tunnel.
private final class Spare: RemoteConnectionOwner {
    enum Event { case ready, failed }

    private(set) var born = ContinuousClock.now
    private var connect: HostConnect?
    private var remote: RemoteConnection?
    private var deadline: Deadline?
    private let endpoint: Endpoint
    private let services: TunnelServices
    private var onEvent: ((Spare, Event) -> Void)?

    init(
        _ endpoint: Endpoint, services: TunnelServices, on loop: isolated Loop,
        onEvent: @escaping (Spare, Event) -> Void
    ) {
        self.endpoint = endpoint
        self.services = services
        self.onEvent = onEvent
        deadline = loop.schedule(after: services.timeouts.dial) { [weak self] in
            self?.tell(.failed)
        }
        connect = HostConnect(endpoint, services: services, on: loop) { [weak self] event in
            if case .done(let result) = event { self?.connected(result, on: loop) }
        }
    }

    func age(at now: ContinuousClock.Instant) -> Duration { born.duration(to: now) }

    /// The connection, for its new owner.
    func give() -> RemoteConnection? {
        onEvent = nil
        defer { remote = nil }
        return remote
    }

    func close(on loop: isolated Loop) {
        onEvent = nil
        if let deadline { loop.cancel(deadline) }
        connect?.cancel(on: loop)
        connect = nil
        remote?.close(on: loop)
        remote = nil
    }

    private func connected(_ result: Result<HostPath, Failure>, on loop: isolated Loop) {
        connect = nil
        do throws(Failure) {
            let names = RemoteNames(endpoint)
            remote = try RemoteConnection(
                try result.get(), context: services.tls, names: names,
                // Nobody waits for it; and where all spares are renewed, so that memory can be given back (decision 16), one
                // after the other leaves less between their parts.
                handshakes: nil, owner: self, on: loop)
        } catch {
            tell(.failed)
        }
    }

    private func tell(_ event: Event) { onEvent?(self, event) }

    func remoteReached(_ phase: DialPhase, on loop: isolated Loop) {
        guard phase == .upgrade else { return }
        if let deadline { loop.cancel(deadline) }
        deadline = nil
        born = .now
        tell(.ready)
    }

    func remoteFailed(_ failure: Failure, on loop: isolated Loop) {
        services.logger.debug("a spare ended: \(failure.sentence)", metadata: ["endpoint": "\(endpoint.id)"])
        tell(.failed)
    }

    // Nothing was asked of the endpoint, so these do not come.
    func remoteUpgraded(requestID: String?, on loop: isolated Loop) {}
    func remoteIsReady(on loop: isolated Loop) {}
    func remoteRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop) {}
    func remoteAnswered(on loop: isolated Loop) {}
}
