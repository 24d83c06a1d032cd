import Basics
import Failures
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import Transport

/// What dials to endpoints share. Confined to the control loop.
final class EndpointDialer {
    let router: any InstanceConnectRouter
    private(set) var settings: InstanceConnectSettings
    let logger: Logger
    /// Where TLS handshakes are computed if there are several.
    let handshakes: Handshakes
    /// Which endpoints answer pings.
    let pings = PingKnowledge()
    private var spareSets: [SpareKey: Spares] = [:]

    /// By address, because FIPS and dual-stack names lead to other addresses, and by the trust roots of the handshake.
    private struct SpareKey: Hashable {
        let gateway: Gateway
        let host: HostAndPort
        let trust: ObjectIdentifier
    }

    init(
        router: any InstanceConnectRouter, settings: InstanceConnectSettings, handshakes: Handshakes,
        logger: Logger
    ) {
        self.router = router
        self.settings = settings
        self.handshakes = handshakes
        self.logger = logger
    }

    func apply(_ timeouts: DialTimeouts, spares: SpareSettings, on loop: isolated Loop) {
        settings.timeouts = timeouts
        settings.spares = spares
        for set in spareSets.values { set.apply(settings, on: loop) }
    }

    // MARK: Spares

    func spares(of endpoint: EndpointName, trusting roots: TLSContext) -> Spares {
        // Its spares keep the trust roots alive, so that no other ones get their identity.
        let key = SpareKey(gateway: endpoint.gateway, host: endpoint.host, trust: ObjectIdentifier(roots))
        if let spares = spareSets[key] { return spares }
        let now = ContinuousClock.now
        spareSets = spareSets.filter { !$0.value.isAtRest(at: now) }
        let spares = Spares(endpoint, trusting: roots, settings: settings, logger: logger)
        spareSets[key] = spares
        return spares
    }

    func reserve(of gateway: Gateway) -> GatewayReserve? {
        let sets = spareSets.filter { $0.key.gateway == gateway }.values
        guard !sets.isEmpty else { return nil }
        let now = ContinuousClock.now
        let paused = sets.compactMap(\.policy.pausedUntil).max()
        return GatewayReserve(
            ready: sets.reduce(0) { $0 + $1.count },
            pausedFor: paused.flatMap { $0 > now ? now.duration(to: $0) : nil })
    }

    func disturbed(on loop: isolated Loop) {
        settings.resolver.forgetAll()
        for spares in spareSets.values { spares.replaceAll(on: loop) }
    }

    /// See ``Spares/renew(on:)``.
    func renewSpares(on loop: isolated Loop) {
        for spares in spareSets.values { spares.renew(on: loop) }
    }
}
