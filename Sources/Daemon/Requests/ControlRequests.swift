import AWS
import ControlCodec
import ControlProtocol
import ControlServer
import Failures
import Glibc
import InstanceConnect
import Logging
import SocketIO
import Tunnels

/// Whether another process is about to take over: until that is settled nothing may change. Confined to the control loop.
final class HandoverState {
    var isUnderWay = false

    var obstacle: Failure? {
        guard isUnderWay else { return nil }
        return Failure(
            .shuttingDown, "nothing can be changed now", why: "another eiced is about to take over",
            hint: "try again in a moment")
    }
}

/// Fulfils the control protocol. Confined to the control loop.
final class ControlRequests: RequestHandler {
    private let forwards: ForwardTable
    private let tunnels: TunnelTable
    private let pools: GatewayPools
    private let store: ForwardStore
    private let changes: ForwardRequests
    private let directory: TargetDirectory
    private let observation: Observation
    private let environment: Environment
    private let logger: Logger
    private let started = ContinuousClock.now
    private let socketPath: String

    /// What forwards and tunnels get that do not say otherwise.
    var configuration: Configuration
    /// Whether another process is about to take over.
    let handovers = HandoverState()
    /// What stands for a while.
    var passingWarning: FailureRecord?
    /// What the start waited for.
    var startWarning: FailureRecord?
    /// The processes that handed over to this one.
    var draining: () -> [DrainingProcess] = { [] }
    /// Set by the wiring, which knows how to do these.
    var onReload: ((@escaping (Result<ReloadResult, Failure>) -> Void) -> Void)?
    var onShutdown: ((Duration) -> Void)?
    /// - Parameters: where a process waits that is to take over, or nil for the installed program; then the outcome.
    var onHandover: ((String?, @escaping (Result<pid_t, Failure>) -> Void) -> Void)?

    init(
        forwards: ForwardTable, store: ForwardStore, tunnels: TunnelTable, pools: GatewayPools,
        router: any InstanceConnectRouter, directory: TargetDirectory, observation: Observation,
        environment: Environment,
        configuration: Configuration,
        socketPath: String,
        logger: Logger
    ) {
        self.forwards = forwards
        self.tunnels = tunnels
        self.pools = pools
        self.store = store
        changes = ForwardRequests(forwards: forwards, store: store, router: router, logger: logger) { [handovers] in
            tunnels.acceptsNew ? handovers.obstacle : Self.stopping
        }
        self.directory = directory
        self.observation = observation
        self.environment = environment
        self.configuration = configuration
        self.socketPath = socketPath
        self.logger = logger
    }

    private var translation: RequestTranslation {
        RequestTranslation(configuration: configuration, environment: environment)
    }

    // MARK: Requests

    func handle(_ request: ControlRequest, peer: PeerCredentials, reply: PendingReply, on loop: isolated Loop) {
        do throws(Failure) {
            switch request {
            case .forwardAdd(let parameters): try changes.add(parameters, translation, reply, on: loop)
            case .forwardSet(let parameters): changes.set(parameters, translation, reply, on: loop)
            case .forwardRemove(let parameters): changes.remove(parameters, reply, on: loop)
            case .forwardList: reply(.success(.forwards(ForwardListResult(forwards: forwardInfos()))), on: loop)
            case .tunnelList(let parameters):
                reply(.success(.tunnels(TunnelListResult(tunnels: try tunnelInfos(parameters.forward)))), on: loop)
            case .tunnelClose(let parameters): try close(parameters, reply, on: loop)
            case .endpointList:
                reply(.success(.endpoints(EndpointListResult(endpoints: endpointInfos(on: loop)))), on: loop)
            case .profileList: listProfiles(reply)
            case .targetList(let parameters): try list(parameters, reply)
            case .status: collectStatus(on: loop) { reply(.success(.status($0)), on: loop) }
            case .metrics:
                collectStatus(on: loop) { [observation] status in
                    reply(.success(.metrics(MetricsResult(text: observation.metrics(status)))), on: loop)
                }
            case .eventsRecent(let parameters):
                let events = observation.feed.recent.filter { parameters.events?.contains($0.event) ?? true }
                reply(.success(.eventsRecent(EventsRecentResult(events: events))), on: loop)
            case .forwardProbe(let parameters): try probe(parameters, peer, reply, on: loop)
            case .reload:
                if let obstacle = handovers.obstacle { throw obstacle }
                guard let onReload else { throw Failure(.internal, "this daemon cannot reload") }
                onReload { reply($0.map { .reload($0) }, on: loop) }
            case .shutdown(let parameters): try shutDown(parameters, reply, on: loop)
            case .hello, .connect, .eventsSubscribe:
                throw Failure(.internal, "the session should have answered this itself")
            }
        } catch {
            reply(.failure(error), on: loop)
        }
    }

    private func listProfiles(_ reply: PendingReply) {
        let directory = directory
        Task {
            do throws(Failure) {
                reply.send(.success(.profiles(ProfileListResult(profiles: try await directory.profiles(under: nil)))))
            } catch {
                reply.send(.failure(error))
            }
        }
    }

    private func list(_ parameters: TargetListParameters, _ reply: PendingReply) throws(Failure) {
        let account = try translation.account(parameters.options)
        let directory = directory
        Task {
            do throws(Failure) {
                let found = try await directory.targets(
                    profile: account.profile, region: account.region, environment: account.environment)
                let targets = found.instances.map {
                    TargetInfo(id: $0.id, name: $0.name, address: $0.privateAddress ?? $0.ipv6Address)
                }
                reply.send(.success(.targets(TargetListResult(region: found.region, targets: targets))))
            } catch {
                reply.send(.failure(error))
            }
        }
    }

    private static var stopping: Failure { Failure(.shuttingDown, "eiced is shutting down") }

    private func probe(
        _ parameters: ForwardProbeParameters, _ peer: PeerCredentials, _ reply: PendingReply, on loop: isolated Loop
    ) throws(Failure) {
        guard tunnels.acceptsNew else { throw Self.stopping }
        guard let forward = forwards[parameters.name] else { throw unknownForward(parameters.name) }
        if let timeout = parameters.timeout, !ServiceLimits.tunnelSeconds.contains(timeout) {
            throw Failure(
                .invalidRequest, "the timeout of \(timeout) s is out of range", why: "it is between 1 s and 1 h")
        }
        observation.probes.begin(
            forward, peer: peer, timeout: parameters.timeout.map { .seconds($0) }, in: tunnels, on: loop
        ) { result in
            reply(result.map { .forwardProbe($0) }, on: loop)
        }
    }

    private func unknownForward(_ name: String) -> Failure {
        Failure(.unknownForward, "there is no forward named \(name)", hint: "eicectl ls shows those there are")
    }

    // MARK: Tunnels

    func connect(
        _ parameters: ConnectParameters, peer: PeerCredentials, client: ConnectClient, on loop: isolated Loop
    ) -> any ConnectAttempt {
        let pending = PendingConnect(client) { [observation] in observation.sayCrossing($0, on: loop) }
        do throws(Failure) {
            guard tunnels.acceptsNew else { throw Self.stopping }
            var request = try translation.tunnel(parameters, peer: Self.describe(peer))
            request.identity = ClientIdentity(peer)
            pending.follow(tunnels.open(request, local: nil, client: pending, on: loop), on: loop)
        } catch {
            // Not from within the call: the session does not know its attempt yet.
            let failure = error
            loop.submit { loop in client.fail(failure, on: loop) }
        }
        return pending
    }

    private static func describe(_ peer: PeerCredentials) -> String { "pid \(peer.pid), uid \(peer.uid)" }

    private func close(
        _ parameters: TunnelCloseParameters, _ reply: PendingReply, on loop: isolated Loop
    ) throws(Failure) {
        var handles: [TunnelHandle] = []
        for name in parameters.ids {
            guard let handle = tunnels[name] else {
                throw Failure(
                    .unknownTunnel, "there is no tunnel \(name)", hint: "eicectl tunnels shows those there are")
            }
            handles.append(handle)
        }
        for handle in handles { handle.close(.requested("closed with eicectl close")) }
        reply(.success(.tunnelClose(TunnelCloseResult(closed: parameters.ids))), on: loop)
    }

    private func shutDown(
        _ parameters: ShutdownParameters, _ reply: PendingReply, on loop: isolated Loop
    ) throws(Failure) {
        if let obstacle = handovers.obstacle { throw obstacle }
        if parameters.handover ?? (parameters.successor != nil) {
            return try handOver(parameters, reply, on: loop)
        }
        let drain = parameters.drain.map { Duration.seconds($0) } ?? configuration.timeouts.shutdownDrain
        guard ConfigurationKeys.drain.contains(drain) else {
            throw Failure(
                .invalidRequest, "the drain of \(parameters.drain ?? 0) s is out of range", why: "it is at most 1 h")
        }
        let result = ShutdownResult(tunnels: tunnels.all.count, drain: Int(drain.components.seconds))
        reply(.success(.shutdown(result)), on: loop)
        onShutdown?(drain)
    }

    private func handOver(
        _ parameters: ShutdownParameters, _ reply: PendingReply, on loop: isolated Loop
    ) throws(Failure) {
        guard tunnels.acceptsNew else { throw Self.stopping }
        guard parameters.drain == nil else {
            throw Failure(
                .invalidRequest, "a hand-over has no drain", why: "open tunnels go on until they end")
        }
        // What is saved while another one reads the file would be lost to it.
        guard !changes.isBusy else {
            throw Failure(
                .handoverFailed, "cannot hand over now", why: "forwards are being changed",
                hint: "try again in a moment")
        }
        guard let onHandover else { throw Failure(.internal, "this daemon cannot hand over") }
        handovers.isUnderWay = true
        onHandover(parameters.successor) { [self] outcome in
            handovers.isUnderWay = false
            let open = tunnels.all.count
            reply(
                outcome.map {
                    .shutdown(
                        ShutdownResult(tunnels: open, drain: ServiceLimits.tunnelSeconds.upperBound, successor: Int($0))
                    )
                }, on: loop)
        }
    }

    // MARK: Views

    private func forwardInfos() -> [ForwardInfo] {
        var counts: [String: Int] = [:]
        for tunnel in tunnels.all { if let name = tunnel.request.forward { counts[name, default: 0] += 1 } }
        return forwards.all.map { ForwardInfo($0, tunnels: counts[$0.specification.name] ?? 0) }
    }

    private func tunnelInfos(_ forward: String?) throws(Failure) -> [TunnelInfo] {
        if let forward, forwards[forward] == nil {
            throw unknownForward(forward)
        }
        return tunnels.all.filter { forward == nil || $0.request.forward == forward }.map(TunnelInfo.init)
    }

    private func endpointInfos(on loop: isolated Loop) -> [EndpointInfo] {
        pools.all.map { pool in
            let last = tunnels.failures.last { $0.handle.snapshot.route?.path.gateway == pool.gateway }
            return EndpointInfo(pool, reserve: tunnels.reserve(of: pool, on: loop), lastFailure: last)
        }
    }

    private func collectStatus(on loop: isolated Loop, _ completion: @escaping (StatusResult) -> Void) {
        var identities = Set(forwards.all.map { RoutedIdentity($0.specification.route) })
        // Looking is what makes it worth measuring; the next look sees it.
        for tunnel in tunnels.all { tunnel.measure() }
        identities.formUnion(tunnels.all.map { RoutedIdentity($0.request.route) })
        observation.complete(status(on: loop), identities: identities, on: loop, completion: completion)
    }

    private func status(on loop: isolated Loop) -> StatusResult {
        let uptime = started.duration(to: .now).components.seconds
        return StatusResult(
            pid: Int(getpid()), uptime: Int(uptime), socket: socketPath, forwards: forwardInfos(),
            tunnels: tunnels.all.map(TunnelInfo.init), endpoints: endpointInfos(on: loop),
            recentFailures: (tunnels.failures.compactMap(FailureRecord.init)
                + forwards.all.compactMap(FailureRecord.init(refusedBy:)))
                .sorted { $0.when.milliseconds > $1.when.milliseconds },
            warnings: store.allWarnings + [passingWarning, startWarning].compactMap { $0 }, draining: draining())
    }
}
