import Failures
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import WebSocket

/// The spares of one endpoint name: connections with TLS done, bound to no target, in no slot, so that a dial costs one
/// round trip. Confined to the control loop.
final class Spares {
    private let endpoint: EndpointName
    private let roots: TLSContext
    private var settings: InstanceConnectSettings
    private let logger: Logger
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

    init(
        _ endpoint: EndpointName, trusting roots: TLSContext, settings: InstanceConnectSettings,
        logger: Logger
    ) {
        self.endpoint = endpoint
        self.roots = roots
        self.settings = settings
        self.logger = logger
        policy = SparePolicy(wanted: settings.spares.count, timeToLive: settings.spares.timeToLive)
    }

    var count: Int { ready.count }

    /// There are none, and none are wanted.
    func isAtRest(at now: ContinuousClock.Instant) -> Bool {
        ready.isEmpty && underWay == nil && policy.target(lastUse: lastUse, at: now) == 0
            && policy.pausedUntil.map { $0 <= now } ?? true
    }

    /// The freshest one, which is the least likely to be stale; nil when there is none. Another one is made.
    func take(on loop: isolated Loop) -> EndpointStream? {
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
            underWay = Spare(endpoint, trusting: roots, settings, logger, on: loop) { [weak self] spare, event in
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
    func apply(_ fresh: InstanceConnectSettings, on loop: isolated Loop) {
        let old = settings.spares
        settings = fresh
        guard fresh.spares != old else { return }
        policy.apply(wanted: fresh.spares.count, timeToLive: fresh.spares.timeToLive)
        keepUp(on: loop)
    }

    /// All of them are useless: the route changed, or the machine slept. While the endpoint is in use others take their place.
    func replaceAll(on loop: isolated Loop) {
        for spare in ready { spare.close(on: loop) }
        ready = []
        underWay?.close(on: loop)
        underWay = nil
        settings.resolver.forget(endpoint.host.host)
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
private final class Spare: EndpointStreamOpener {
    enum Event { case ready, failed }

    private(set) var born = ContinuousClock.now
    private var connect: HostConnect?
    private var stream: EndpointStream?
    private var deadline: Deadline?
    private let endpoint: EndpointName
    private let roots: TLSContext
    private let logger: Logger
    private var onEvent: ((Spare, Event) -> Void)?

    init(
        _ endpoint: EndpointName, trusting roots: TLSContext, _ settings: InstanceConnectSettings,
        _ logger: Logger, on loop: isolated Loop, onEvent: @escaping (Spare, Event) -> Void
    ) {
        self.endpoint = endpoint
        self.roots = roots
        self.logger = logger
        self.onEvent = onEvent
        let timeouts = settings.timeouts
        deadline = loop.schedule(after: timeouts.connect + timeouts.proxy + timeouts.tls) { [weak self] in
            self?.report(.failed)
        }
        connect = HostConnect(to: endpoint, trusting: roots, settings, on: loop) { [weak self] event in
            if case .done(let result) = event { self?.connected(result, on: loop) }
        }
    }

    func age(at now: ContinuousClock.Instant) -> Duration { born.duration(to: now) }

    /// The connection, for its new owner.
    func give() -> EndpointStream? {
        onEvent = nil
        defer { stream = nil }
        return stream
    }

    func close(on loop: isolated Loop) {
        onEvent = nil
        if let deadline { loop.cancel(deadline) }
        connect?.cancel(on: loop)
        connect = nil
        stream?.close(on: loop)
        stream = nil
    }

    private func connected(_ result: Result<HostPath, Failure>, on loop: isolated Loop) {
        connect = nil
        do throws(Failure) {
            stream = try EndpointStream(
                try result.get(), context: roots, endpoint: endpoint,
                // No client waits for it. If all spares are renewed, so that memory can be given back (decision 16), one
                // handshake after the other leaves less between their parts.
                handshakes: nil, opener: self, on: loop)
        } catch {
            report(.failed)
        }
    }

    private func report(_ event: Event) { onEvent?(self, event) }

    func streamIsSecured(on loop: isolated Loop) {
        if let deadline { loop.cancel(deadline) }
        deadline = nil
        born = .now
        report(.ready)
    }

    func streamFailed(_ failure: Failure, on loop: isolated Loop) {
        logger.debug("a spare ended: \(failure.sentence)", metadata: ["endpoint": "\(endpoint.id)"])
        report(.failed)
    }

    // Nothing was asked of the endpoint, so these do not come.
    func streamIsUpgraded(requestID: String?, on loop: isolated Loop) {}
    func streamWasRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop) {}
}
