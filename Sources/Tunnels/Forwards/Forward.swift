import Basics
import Failures
import Glibc
import Logging
import SocketIO
import Transport

/// A listener joined to a target. Confined to the control loop.
///
/// Where its address cannot be listened on it stands all the same, says why, and tries again until it can.
public final class Forward {
    /// Why it does not listen.
    public struct ListenFailure: Sendable {
        public let failure: Failure
        /// Of the first try.
        public let since: WallTime
    }

    public private(set) var specification: ForwardSpecification
    /// Where it listens: one, two, or none where it cannot.
    public var addresses: [SocketAddress] { binding?.addresses ?? [] }
    /// What its last tunnel that failed failed with.
    public internal(set) var lastFailure: EndedTunnel?
    /// Nil while it listens.
    public private(set) var listenFailure: ListenFailure?
    /// Told when it listens after it could not.
    var onListening: ((Forward) -> Void)?
    /// The daemon's defaults of ``ForwardSpecification/access``.
    var defaultAccess = AccessRules()
    let doorkeeper = Doorkeeper()
    /// Connections that were refused: others' than those who may use the forward, and web clients.
    public var refused: Int { doorkeeper.refused }
    public var lastRefused: RefusedConnection? { doorkeeper.lastRefused }

    private let name: ForwardName
    private var listeners: [Listener] = []
    private let keeper: (any ListenerKeeper)?
    /// Which sockets are kept beyond this process, and by which name.
    private var kept: (name: String, binding: ListenerBinding)?
    /// Whether connections are taken; else they wait in the kernel.
    private var isHeld: Bool
    private let warmTunnels: WarmTunnels
    private(set) var binding: ListenerBinding?
    private var backoff = RetryBackoff()
    private var retry: Deadline?
    private let tunnels: TunnelTable
    private let logger: Logger

    /// - Parameters:
    ///   - keeper: keeps its sockets beyond this process, where it lasts.
    ///   - isHeld: whether connections wait until ``release(on:)``.
    init(
        _ specification: ForwardSpecification, tunnels: TunnelTable, keeper: (any ListenerKeeper)?, isHeld: Bool,
        logger: Logger
    ) {
        self.specification = specification
        self.keeper = keeper
        self.isHeld = isHeld
        self.tunnels = tunnels
        self.logger = logger
        name = ForwardName(specification.name)
        warmTunnels = WarmTunnels(of: specification, named: name, tunnels: tunnels)
    }

    /// Becomes otherwise in place, in all but where it listens. Open tunnels keep what they began with.
    func become(_ fresh: ForwardSpecification, on loop: isolated Loop) {
        specification = fresh
        name.current = fresh.name
        keep()
        warmTunnels.apply(fresh, on: loop)
    }

    // MARK: Listening

    /// Accepts on `fresh` from here on. What it listened on before is closed after that, so that no connection is refused
    /// in between.
    func listen(on fresh: ListenerBinding, on loop: isolated Loop) {
        let (oldListeners, oldBinding) = (listeners, binding)
        do throws(Failure) {
            listeners = isHeld ? [] : try adopt(fresh, on: loop)
            binding = fresh
            keep()
            settle(on: loop)
        } catch {
            fresh.close()
            listeners = []
            binding = nil
            keep()
            failed(error, on: loop)
        }
        for listener in oldListeners {
            // Who connected to an address that another socket has from now on was promised an answer.
            if fresh.addresses.contains(where: { $0 != listener.address && $0.excludes(listener.address) }) {
                listener.takeWaiting(on: loop)
            }
            listener.close(on: loop)
        }
        oldBinding?.close()
    }

    /// Tries to listen where the specification says. A failure is kept, and the next try scheduled.
    func tryToListen(on loop: isolated Loop) {
        guard binding == nil else { return }
        let inherited = keeper?.claim(specification.name)
        do throws(Failure) {
            listen(on: try bind(inPlaceOf: inherited), on: loop)
        } catch {
            failed(error, on: loop)
        }
    }

    private func bind(inPlaceOf inherited: InheritedListeners?) throws(Failure) -> ListenerBinding {
        guard let inherited else {
            return try ListenerBinding.bind(specification.local, bindAddress: specification.bindAddress)
        }
        if inherited.isManaged { return try ListenerBinding.adopting(inherited.descriptors, for: specification) }
        var local = specification.local
        // Any port is right, and the one that clients may know by now is best.
        if local == .port(0),
            let port = inherited.descriptors.lazy.compactMap({ SocketAddress.local(of: $0)?.port }).first
        {
            local = .port(port)
        }
        let old = ListenerBinding(inherited: inherited.descriptors)
        defer { old.letGo() }
        let binding = try ListenerBinding.bind(local, bindAddress: specification.bindAddress, inPlaceOf: [old])
        binding.takeOver()
        return binding
    }

    /// Brings what is kept beyond this process to the present name and sockets.
    private func keep() {
        guard let keeper else { return }
        let lasting = binding.flatMap { $0.isManaged || specification.isEphemeral ? nil : $0 }
        let present = lasting.map { (name: specification.name, binding: $0) }
        guard present?.name != kept?.name || present?.binding !== kept?.binding else { return }
        if let kept { keeper.forget(kept.name) }
        if let present { keeper.keep(present.binding.descriptors, of: present.name) }
        kept = present
    }

    /// Whether its sockets stay open without this process.
    var isKept: Bool { kept != nil || binding?.isManaged == true }

    /// Connections that wait, and all later ones, are taken.
    func release(on loop: isolated Loop) {
        guard isHeld else { return }
        isHeld = false
        guard let binding else { return }
        do throws(Failure) {
            listeners = try adopt(binding, on: loop)
        } catch {
            close(on: loop)
            failed(error, on: loop)
        }
    }

    /// For whoever wants it to listen now.
    ///
    /// - Throws: why it still cannot; it goes on trying.
    public func insistOnListening(on loop: isolated Loop) throws(Failure) {
        guard listenFailure != nil else { return }
        backoff.reset()
        tryToListen(on: loop)
        if let listenFailure { throw listenFailure.failure }
    }

    private func adopt(_ binding: ListenerBinding, on loop: isolated Loop) throws(Failure) -> [Listener] {
        var adopted: [Listener] = []
        for descriptor in binding.descriptors {
            do throws(SystemError) {
                let listener = try Listener(
                    adopting: descriptor, on: loop,
                    reserve: { [tunnels] in tunnels.descriptorReserve },
                    onTrouble: { [weak self] error in self?.reportTrouble(error) },
                    onAccept: { [weak self] connection in self?.accepted(connection, on: loop) })
                adopted.append(listener)
            } catch {
                for listener in adopted { listener.close(on: loop) }
                throw Failure(.cannotListen, "cannot listen for \(specification.name)", why: error.reason)
            }
        }
        return adopted
    }

    private func settle(on loop: isolated Loop) {
        stopTrying(on: loop)
        backoff.reset()
        guard listenFailure != nil else { return }
        listenFailure = nil
        onListening?(self)
    }

    private func failed(_ failure: Failure, on loop: isolated Loop) {
        if listenFailure == nil {
            logger.error(
                "the forward is not served yet: \(failure); tried again until it is",
                metadata: ["event": "forward-not-served", "forward": "\(specification.name)"])
        }
        listenFailure = ListenFailure(failure: failure, since: listenFailure?.since ?? .now())
        stopTrying(on: loop)
        // Nobody needs the very moment; forwards that wait share their wake-ups.
        retry = loop.schedule(after: backoff.next(), tolerance: .seconds(1)) { [weak self] in
            guard let self else { return }
            retry = nil
            tryToListen(on: loop)
        }
    }

    private func stopTrying(on loop: isolated Loop) {
        if let retry { loop.cancel(retry) }
        retry = nil
    }

    // MARK: Connections

    private func accepted(_ connection: FileDescriptor, on loop: isolated Loop) {
        // Before anything is dialed.
        let caller = Caller(of: connection)
        let admission = Admission(
            owner: getuid(), rules: specification.access ?? defaultAccess,
            allowsRemoteClients: specification.allowsRemoteClients)
        guard doorkeeper.admit(connection, caller, by: admission) else { return }
        let isFromPort = if case .unix = caller.peer { false } else { true }
        let local = LocalStream(connection, isFromPort: isFromPort)
        let whenEnded: (CloseReason) -> Void = { [weak doorkeeper] in doorkeeper?.tunnelEnded($0) }
        if warmTunnels.join(local, of: caller, on: loop, whenEnded: whenEnded) {
            warmTunnels.keepUp(on: loop)
            return
        }
        var request = TunnelRequest(
            route: specification.route, forwardName: name, peer: caller.description,
            maxDuration: specification.maxDuration, idleTimeout: specification.idleTimeout)
        request.priority = specification.priority
        request.identity = caller.identity
        // Not before: a warm tunnel could take the slot that this one needs, and where this one fails it would fail as well.
        tunnels.open(
            request, local: local, client: nil, on: loop,
            whenOpened: { [weak warmTunnels] in warmTunnels?.keepUp(on: loop) }, whenEnded: whenEnded)
    }

    private func reportTrouble(_ error: SystemError) {
        logger.warning(
            "cannot accept a connection: \(error.reason); those that come wait until it can",
            metadata: ["forward": "\(specification.name)"])
    }

    /// Stops listening, and trying to. Open tunnels go on.
    func close(on loop: isolated Loop) {
        // First of all: as long as the service manager has the sockets they are open, and nobody would answer.
        if let kept { keeper?.forget(kept.name) }
        kept = nil
        stop(on: loop)
        binding?.close()
        binding = nil
    }

    /// The same, but its sockets go on listening in other hands. Connections wait there.
    func letGo(on loop: isolated Loop) {
        stop(on: loop)
        binding?.letGo()
        binding = nil
    }

    private func stop(on loop: isolated Loop) {
        stopTrying(on: loop)
        for listener in listeners { listener.close(on: loop) }
        listeners = []
        warmTunnels.close()
    }
}
