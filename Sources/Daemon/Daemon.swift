import AWS
import Basics
import Bounds
import ControlProtocol
import ControlServer
import Failures
import Glibc
import InstanceConnect
import Logging
import ServiceManager
import SocketIO
import Tunnels

/// The daemon put together: read from top to bottom. Configuration is checked first, parts are built from the bottom
/// up, listeners come last, then READY. Confined to the control loop.
final class Daemon {
    /// What the command line and the environment decided.
    struct Settings: Sendable {
        var configurationPath: String?
        var configuration: Configuration
        /// `--log-level`, which the configuration does not change.
        var logLevel: Logger.Level?
        var environment: Environment
        /// `EICED_CONNECT_TO`.
        var connectTo: HostAndPort?
        /// Where forwards are kept, and what was found there.
        var saved: (disk: ForwardsDisk, loaded: ForwardsDisk.Loaded)
        var service: ServiceContext
        /// What an earlier process passed on, which waits for this one.
        var inheritance: Inheritance?
        /// What a later process is started from; nil where /proc does not tell.
        var program: SuccessorProgram?
        /// A look into files that hang, which did not keep the daemon from its start.
        var startCheck: StartCheck?
    }

    private let settings: Settings
    private let logger: Logger
    private var notifier: Notifier { settings.service.notifier }
    private let status: ServiceStatus
    private let watchdog: Watchdog?
    private let router: AWSRouter
    private let instanceConnect: InstanceConnectTransport
    private let tunnels: TunnelTable
    private let forwards: ForwardTable
    private let pools: GatewayPools
    private let requests: ControlRequests
    private let server: ControlServer
    private let socket: ControlListener
    private var place: ControlPlace?
    private let kept: DescriptorStore
    private let predecessors: Predecessors
    private var handingOver: HandingOver?
    private var takingOver: HandoverChannel?
    private let observation: Observation
    private var signals: Signals?
    private var disturbances: DisturbanceWatch?
    private var shutdown: Shutdown?
    private var configuration: Configuration
    private let readings = BlockingFlights<String?, LoadedConfiguration>(pool: .files)

    /// Builds everything and begins to serve.
    ///
    /// - Parameter socket: the control socket, adopted or bound.
    init(
        _ settings: Settings, socket: ControlListener, logger: Logger, on loop: isolated Loop
    ) throws(Failure) {
        self.settings = settings
        self.logger = logger
        self.socket = socket
        configuration = settings.configuration

        let feed = EventFeed()
        let context = AWSContext(
            environment: settings.environment, onLoginChange: feed.loginObserver(on: loop), logger: logger)
        observation = Observation(
            feed: feed, audit: AuditLog(AuditFile(environment: settings.environment), logger: logger),
            context: context, logger: logger)
        let resolver = Resolver()
        let trust = TrustStore()
        let router = AWSRouter(
            context: context, lookUpTimeToLive: settings.configuration.pool.lookUpTimeToLive, trust: trust,
            resolver: resolver, logger: logger, on: loop)
        self.router = router
        pools = GatewayPools(limits: settings.configuration.poolLimits)
        let relays = try Self.relayLoops()
        let notifier = settings.service.notifier
        watchdog = settings.service.watchdogInterval.map {
            Watchdog(interval: $0, relays: relays.all, on: loop) { notifier.watchdog() }
        }
        var endpoints = InstanceConnectSettings(
            resolver: resolver, tls: trust.system, connectTo: settings.connectTo, proxies: context.proxies,
            userAgent: "eiced/\(EICEDVersion.current)")
        endpoints.timeouts = settings.configuration.timeouts.dial
        endpoints.spares = settings.configuration.spareSettings
        instanceConnect = InstanceConnectTransport(router: router, settings: endpoints, logger: logger, on: loop)
        var services = TunnelServices(
            transports: [instanceConnect], timeouts: settings.configuration.timeouts.tunnel, relays: relays,
            pools: pools, logger: logger, on: loop)
        services.warmTimeToLive = settings.configuration.pool.warmTimeToLive
        tunnels = TunnelTable(services: services)
        kept = DescriptorStore(settings.service.adopted, notifier: notifier, logger: logger, on: loop)
        forwards = ForwardTable(tunnels: tunnels, keeper: kept, logger: logger)
        predecessors = Predecessors(pools: pools, notifier: notifier, logger: logger)
        forwards.access = settings.configuration.access
        status = ServiceStatus(notifier: notifier, forwards: forwards, tunnels: tunnels, pools: pools)
        let store = ForwardStore(settings.saved.loaded, disk: settings.saved.disk, logger: logger)
        requests = ControlRequests(
            forwards: forwards, store: store, tunnels: tunnels, pools: pools, router: router,
            directory: TargetDirectory(context: context),
            observation: observation,
            environment: settings.environment, configuration: settings.configuration, socketPath: socket.path,
            logger: logger)

        observation.listen(to: forwards, tunnels, pools, on: loop)
        feed.onEvent = { [status, logger] event in
            status.changed(on: loop)
            EventLog.note(event, logger)
        }
        let waitsForPredecessor = settings.inheritance != nil
        if waitsForPredecessor || settings.service.hold > .zero { forwards.hold() }
        Self.addConfiguredForwards(settings, to: forwards, logger, on: loop)
        Self.addSavedForwards(store, to: forwards, on: loop)
        Self.addInheritedForwards(settings, to: forwards, logger, on: loop)
        do throws(SystemError) {
            server = try ControlServer(
                socket, handler: requests, limits: .init(hello: settings.configuration.timeouts.hello),
                isHeld: waitsForPredecessor, log: logger, on: loop)
            signals = try Signals(on: loop) { [weak self] number in self?.received(number, on: loop) }
            disturbances = try DisturbanceWatch(on: loop) { [weak self] disturbance in
                self?.logger.info("\(disturbance.rawValue): every tunnel is asked whether it is alive")
                self?.tunnels.disturbed(on: loop)
            }
        } catch {
            throw Failure(.cannotListen, "cannot serve the control socket", why: error.description)
        }
        connectParts(on: loop)
        if let check = settings.startCheck { follow(check, on: loop) }
        if let inheritance = settings.inheritance {
            try waitForPredecessor(inheritance, on: loop)
        } else {
            if settings.service.hold > .zero { hold(for: settings.service.hold, on: loop) }
            serve(on: loop)
        }
    }

    /// All stands: from here on this process is the daemon.
    private func serve(on loop: isolated Loop) {
        for (name, channel) in settings.service.predecessors {
            logger.info("an earlier eiced goes on until its tunnels have ended", metadata: ["name": "\(name)"])
            predecessors.adopt(channel, on: loop)
        }
        kept.dropUnclaimed()
        kept.settle()
        place = ControlPlace(server, socket, notifier: notifier, logger: logger, on: loop)
        logger.notice("eiced \(EICEDVersion.current) listens on \(server.path)", metadata: ["event": "started"])
        notifier.ready(status: status.line)
    }

    // MARK: Hand-over

    /// Says that everything is prepared, and begins when the old process has let go.
    private func waitForPredecessor(_ inheritance: Inheritance, on loop: isolated Loop) throws(Failure) {
        do throws(SystemError) {
            let channel = try HandoverChannel(inheritance.channel, on: loop)
            takingOver = channel
            channel.onMessage = { [weak self] message in
                if message.kind == .go { self?.takeOver(channel, on: loop) }
            }
            channel.onEnd = { [logger, notifier] in
                logger.error("the eiced that runs did not hand over")
                // If it has ended, it may have named this process as the service's before: then the service manager must start
                // another one, which it does not after a code that no restart mends.
                exit((notifier.hasListener ? Failure.Kind.internal : .handoverFailed).exitCode)
            }
            channel.send(HandoverMessage(.ready), on: loop)
        } catch {
            throw Failure(.handoverFailed, "cannot take over from the eiced that runs", why: error.description)
        }
    }

    private func takeOver(_ channel: HandoverChannel, on loop: isolated Loop) {
        takingOver = nil
        channel.release(on: loop)
        do throws(SystemError) {
            try server.begin(on: loop)
        } catch {
            // The old one has gone already: the service manager starts the next.
            logger.critical("cannot serve the control socket: \(error)")
            exit(Failure.Kind.cannotListen.exitCode)
        }
        socket.sign()
        settings.saved.disk.sign()
        forwards.release(on: loop)
        serve(on: loop)
        predecessors.adopt(channel.socket, on: loop)
    }

    private func handOver(
        to path: String?, on loop: isolated Loop, completion: @escaping (Result<pid_t, Failure>) -> Void
    ) {
        let handingOver = HandingOver(
            .init(
                forwards: forwards, pools: pools, server: server, socket: socket, disk: settings.saved.disk,
                predecessors: predecessors, watchdog: watchdog, service: settings.service), logger: logger)
        self.handingOver = handingOver
        let settle = { [weak self] (outcome: Result<pid_t, Failure>) in
            completion(outcome)
            guard let self else { return }
            if case .success = outcome {
                place?.leave(on: loop)
                begin(.handedOver, on: loop)
            } else {
                self.handingOver = nil
            }
        }
        if let path {
            handingOver.begin(at: path, on: loop, completion: settle)
        } else if let program = settings.program {
            handingOver.begin(program, on: loop, completion: settle)
        } else {
            settle(.failure(Successor.failure("/proc does not tell where this program came from")))
        }
    }

    /// A daemon that keeps dying does not take connections only to drop them.
    private func hold(for length: Duration, on loop: isolated Loop) {
        let why = "connections wait for \(DurationText.format(length)), since eiced ended unexpectedly several times"
        logger.warning("\(why)", metadata: ["event": "connections-held"])
        status.note = why
        requests.passingWarning = FailureRecord(
            when: .now(), failure: Failure(.internal, why, hint: "look for its last words: journalctl --user -u eiced"))
        _ = loop.schedule(after: length) { [weak self] in
            guard let self, shutdown == nil else { return }
            status.note = nil
            requests.passingWarning = nil
            status.changed(on: loop)
            forwards.release(on: loop)
        }
    }

    /// Says in the log and in each status what hangs, until it answers.
    private func follow(_ check: StartCheck, on loop: isolated Loop) {
        let failure = check.hanging
        logger.warning("\(failure)", metadata: ["event": "start-waits"])
        status.note = status.note ?? failure.sentence
        requests.startWarning = FailureRecord(when: .now(), failure: failure)
        let home = LoopBound(self, on: loop)
        check.notify { result in
            home.loop.submit { loop in home.get(on: loop).ended(result, of: failure, on: loop) }
        }
    }

    private func ended(_ result: Result<Void, Failure>, of hanging: Failure, on loop: isolated Loop) {
        if status.note == hanging.sentence { status.note = nil }
        requests.startWarning = nil
        switch result {
        case .success: logger.notice("what hung at the start answers now", metadata: ["event": "start-waits"])
        case .failure(let failure):
            // Too late to refuse to start: each connection that needs it fails with this reason.
            logger.error("\(failure)")
            requests.startWarning = FailureRecord(when: .now(), failure: failure)
        }
        status.changed(on: loop)
    }

    private func connectParts(on loop: isolated Loop) {
        observation.feed.server = server
        requests.onReload = { [weak self] completion in
            guard let self else { return completion(.failure(Self.stopping)) }
            reload(on: loop, completion: completion)
        }
        requests.onHandover = { [weak self] path, completion in
            self?.handOver(to: path, on: loop, completion: completion)
        }
        requests.draining = { [predecessors] in predecessors.counts }
        predecessors.onChange = { [status] in status.changed(on: loop) }
        requests.onShutdown = { [weak self] drain in self?.begin(.stop(drain: drain), on: loop) }
    }

    // MARK: Parts

    /// One of each kind a core, but no more than four: beyond that the kernel's side is the limit.
    private static func relayLoops() throws(Failure) -> RelayLoops {
        do throws(SystemError) {
            return try RelayLoops(min(max(sysconf(CInt(_SC_NPROCESSORS_ONLN)), 1), 4))
        } catch {
            throw Failure(.internal, "cannot start a relay loop", why: error.description)
        }
    }

    /// One bad entry does not stop the others: it is told, and the daemon serves the rest.
    private static func addConfiguredForwards(
        _ settings: Settings, to forwards: ForwardTable, _ logger: Logger, on loop: isolated Loop
    ) {
        let translation = RequestTranslation(
            configuration: settings.configuration, environment: settings.environment)
        for (name, forward) in settings.configuration.forwards.sorted(by: { $0.key < $1.key }) {
            do throws(Failure) {
                try forwards.restore(try translation.forward(named: name, forward), on: loop)
            } catch {
                logger.error(
                    "the forward of the configuration is not served: \(error)", metadata: ["forward": "\(name)"])
            }
        }
    }

    /// Those added by request before the last end. One that cannot be here now stays in the file.
    private static func addSavedForwards(_ store: ForwardStore, to forwards: ForwardTable, on loop: isolated Loop) {
        for saved in store.list.all {
            do throws(Failure) {
                if forwards[saved.name]?.specification.origin == .configuration {
                    throw Failure(
                        .nameTaken, "the saved forward \(saved.name) is not served",
                        why: "the configuration has one of that name",
                        hint: "give that one another name and restart eiced, or forget both: eicectl rm \(saved.name)")
                }
                try forwards.restore(try saved.specification(), on: loop)
            } catch {
                store.warn(error)
            }
        }
    }

    /// Those that are in no file, from the process that this one takes the place of.
    private static func addInheritedForwards(
        _ settings: Settings, to forwards: ForwardTable, _ logger: Logger, on loop: isolated Loop
    ) {
        for saved in settings.inheritance?.forwards ?? [] {
            do throws(Failure) {
                var specification = try saved.specification()
                specification.isEphemeral = true
                try forwards.restore(specification, on: loop)
            } catch {
                logger.error("an ephemeral forward is lost: \(error)", metadata: ["forward": "\(saved.name)"])
            }
        }
    }

    // MARK: Signals

    private func received(_ signal: CInt, on loop: isolated Loop) {
        switch signal {
        case SIGHUP:
            // One that ends, or has handed over, has nothing to read a configuration for.
            guard shutdown == nil else { return }
            // A later eiced that cannot reach this one asks for it so.
            place?.check(on: loop)
            // Why it fails stands in the log; there is nobody else to tell.
            reload(on: loop) { _ in }
        case Signals.restart: begin(.restart(drain: configuration.timeouts.restartDrain), on: loop)
        default: begin(.stop(drain: configuration.timeouts.shutdownDrain), on: loop)
        }
    }

    private static var stopping: Failure { Failure(.shuttingDown, "eiced is shutting down") }

    private typealias LoadedConfiguration = Result<(Configuration, warnings: [String]), Failure>

    /// As a whole or not at all, and told to the service manager while it lasts. The file may be on a file system that hangs, and users
    /// are looked up in a database that may be a network's: no loop waits for that.
    private func reload(on loop: isolated Loop, completion: @escaping (Result<ReloadResult, Failure>) -> Void) {
        notifier.reloading()
        let path = settings.configurationPath
        let readings = readings
        let home = LoopBound((self, completion), on: loop)
        Task {
            let outcome = await readings.run(path, within: LocalFile.patience) {
                LoadedConfiguration { () throws(Failure) in try ConfigurationLoading.load(path: path) }
            }
            home.loop.submit { loop in
                let (daemon, completion) = home.get(on: loop)
                completion(daemon.reloaded(outcome, on: loop))
            }
        }
    }

    private func reloaded(
        _ outcome: BlockingFlights<String?, LoadedConfiguration>.Outcome, on loop: isolated Loop
    ) -> Result<ReloadResult, Failure> {
        guard shutdown == nil else { return .failure(Self.stopping) }
        defer { notifier.ready(status: status.line) }
        do throws(Failure) {
            if let obstacle = requests.handovers.obstacle { throw obstacle }
            let path = settings.configurationPath ?? Configuration.defaultPath() ?? "the configuration"
            let loaded = try LocalFile.value(of: outcome, "read", path).get()
            let result = try apply(loaded.0, warnings: loaded.warnings, on: loop)
            logger.notice(
                "configuration reloaded",
                metadata: [
                    "event": "reloaded", "added": "\(result.added.count)", "changed": "\(result.changed.count)",
                    "removed": "\(result.removed.count)",
                ])
            return .success(result)
        } catch {
            // A file may have several mistakes: an entry for each, since an entry is one line.
            for mistake in error.description.split(separator: "\n") {
                logger.error(
                    "the configuration was not reloaded, the old one stays: \(mistake)",
                    metadata: ["event": "reload-failed"])
            }
            return .failure(error)
        }
    }

    private func apply(
        _ fresh: Configuration, warnings: [String], on loop: isolated Loop
    ) throws(Failure) -> ReloadResult {
        let plan = try ReloadPlan(
            present: forwards.all.map(\.specification).filter { $0.origin == .configuration }, fresh: fresh,
            translation: RequestTranslation(configuration: fresh, environment: settings.environment))
        // All that can fail comes first: either the whole file is applied or nothing of it.
        let replacement = try forwards.prepare(
            removing: plan.removed, adding: plan.added, changing: plan.changed)
        try forwards.commit(replacement, on: loop)
        apply(fresh, on: loop)
        return ReloadResult(
            added: plan.added.map(\.name), removed: plan.removed, changed: plan.changed.map(\.name),
            warnings: warnings)
    }

    /// All of a fresh configuration but its forwards, after those: nothing here can fail.
    private func apply(_ fresh: Configuration, on loop: isolated Loop) {
        configuration = fresh
        requests.configuration = fresh
        forwards.access = fresh.access
        tunnels.apply(fresh.timeouts.tunnel, warmTimeToLive: fresh.pool.warmTimeToLive)
        instanceConnect.apply(fresh.timeouts.dial, spares: fresh.spareSettings, on: loop)
        router.apply(lookUpTimeToLive: fresh.pool.lookUpTimeToLive, on: loop)
        pools.apply(fresh.poolLimits, on: loop)
        server.limits.hello = fresh.timeouts.hello
        if settings.logLevel == nil { setLogLevel(fresh.log.level) }
    }

    // MARK: The end

    private func begin(_ ending: Ending, on loop: isolated Loop) {
        if let shutdown { return shutdown.repeated(ending, on: loop) }
        switch ending {
        case .stop:
            settings.service.notifier.removeStored(DescriptorStore.ownControl)
            server.stopAccepting(on: loop)
            forwards.closeListeners(on: loop)
        case .restart where !notifier.hasListener:
            // Nobody keeps anything for a next process.
            server.stopAccepting(on: loop)
            forwards.closeListeners(on: loop)
        case .handedOver: break
        case .restart:
            server.letGo(on: loop)
            forwards.letListenersGo(on: loop)
        }
        shutdown = Shutdown(
            ending, tunnels: tunnels, predecessors: predecessors, notifier: notifier, logger: logger, on: loop
        ) { [weak self] in self?.end(on: loop) }
    }

    /// Exits when the audit has been written, or when the disk takes too long for it.
    private func end(on loop: isolated Loop) {
        if handingOver == nil {
            server.close(on: loop)
            settings.service.starts?.clear()
        }
        @Sendable func leave() -> Never {
            flushLog()
            exit(0)
        }
        _ = loop.schedule(after: .seconds(2)) { leave() }
        observation.audit.flush { loop.submit { _ in leave() } }
    }
}
