// A byte's way, step 2 of 5: joins a local connection to a remote one. Next: TunnelStateMachine (3), which decides.

import AWS
import Basics
import Failures
import InstanceConnect
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import WebSocket

/// One tunnel's life: its two sides and its timers. Runs what ``TunnelStateMachine`` decides.
///
/// Lives on the control loop until it is open, then on a relay loop: another one as long as it carries much (``RelayLoops``).
///
/// Its parts stand in three files: this one has its life and its timers, `TunnelDial.swift` the way to an open connection,
/// `TunnelPump.swift` the bytes.
final class Tunnel: StreamSocketOwner, RemoteConnectionOwner {
    let handle: TunnelHandle
    let services: TunnelServices
    var machine: TunnelStateMachine
    var client: (any TunnelClient)?
    let tell: @Sendable (TunnelHandle, TunnelNews, isolated Loop) -> Void

    var local: StreamSocket?
    /// Bytes of the client that came before its socket was ours.
    var early: [UInt8] = []
    var localHasEnded = false
    /// Whether the client came over a TCP port, where it may be a browser that a web page sends.
    var isFromPort = false
    /// Judges what the client of an SSH server sends first; nil once that is decided, and for all others.
    var firstBytes: FirstBytes?
    /// The client has sent something, whether it was read or not.
    var hasSpoken = false
    /// The pool takes the tunnel for one whose client has sent nothing.
    var isSilent = false
    var discardsLocal = false

    var remote: RemoteConnection?
    var connect: HostConnect?
    /// The dial uses a connection that was made ahead of time.
    var usesSpare = false
    /// While the tunnel waits for a slot.
    var search: SlotSearch?
    /// The slot that it holds; its pool belongs to the control loop.
    var slot: HeldSlot?
    /// When the wait for a slot is over, counted from its beginning.
    var queueEnd: ContinuousClock.Instant?
    /// Endpoints that failed on this tunnel.
    var failedEndpoints: Set<String> = []
    var route: Route?
    /// Whom the dial trusts, where that is another one than all dials do.
    var trust: TLSContext?
    var signed: SignedTunnel? { didSet { if let signed { redaction.add(signed.secrets) } } }
    /// Knows the secrets of all requests that were signed for this tunnel, as long as it lives: the endpoint may repeat one in the
    /// reason of a close that comes an hour later.
    var redaction = Redaction.none
    /// Signs the first dial, as long as it comes soon.
    var signer: (sign: TunnelSigner, until: ContinuousClock.Instant)?
    /// What the endpoint said against the signature.
    var refusal: Refusal?
    var work: Task<Void, Never>?

    var timers: [TunnelStateMachine.Timer: (deadline: Deadline, at: ContinuousClock.Instant)] = [:]
    var lastActivity = ContinuousClock.now
    /// When the request for the tunnel could leave.
    var requested = ContinuousClock.now
    var liveness = Liveness(answersPings: false)
    /// Since when the target has sent nothing that we could have delivered.
    var silentSince = ContinuousClock.now
    var looks = 0
    var pace: Pace
    /// Until the tunnel is open.
    var timings: DialTimings? = DialTimings()

    /// Decided and not done yet, in the order of the decisions.
    private var actions: [TunnelStateMachine.Action] = []
    private var isActing = false

    /// A slot and where it goes back to.
    struct HeldSlot {
        let key: EndpointKey
        let ticket: Ticket
    }

    init(
        _ handle: TunnelHandle, services: TunnelServices, client: (any TunnelClient)?,
        tell: @escaping @Sendable (TunnelHandle, TunnelNews, isolated Loop) -> Void
    ) {
        self.handle = handle
        self.services = services
        self.client = client
        self.tell = tell
        let request = handle.request
        pace = Pace(services.pace, at: .now)
        machine = TunnelStateMachine(
            timeouts: services.timeouts,
            limits: .init(
                maxDuration: request.maxDuration, idleTimeout: request.idleTimeout,
                waitsForTarget: request.waitsForTarget, isWarm: request.isWarm,
                target: request.targetText))
    }

    /// Begins. The local side is either given here, and watched from now on, or given by the client once the tunnel is
    /// open.
    func start(local stream: LocalStream?, on loop: isolated Loop) {
        handle.move(to: .at(LoopBound(self, on: loop)))
        if let stream, !adopt(stream, on: loop) { return }
        run(machine.started(), on: loop)
    }

    func close(_ reason: CloseReason, on loop: isolated Loop) { run(machine.close(reason), on: loop) }

    func adopt(_ stream: LocalStream, on loop: isolated Loop) -> Bool {
        stream.descriptor.setNoDelay()
        do {
            let socket = try StreamSocket(stream.descriptor, owner: self, on: loop)
            local = socket
            early = stream.received
            isFromPort = stream.isFromPort
            firstBytes = isFromPort && ServerPort.speaksFirst(handle.request.route.remotePort) ? FirstBytes() : nil
            if !stream.greeting.isEmpty, !greet(stream.greeting, over: socket) {
                run(machine.localBroke(), on: loop)
                return false
            }
            return true
        } catch {
            stream.descriptor.close()
            let failure = Failure(.internal, "cannot watch the local connection", why: error.reason)
            run(machine.close(.failed(failure)), on: loop)
            return false
        }
    }

    /// The first bytes to a client that waits for them: a line, which the empty buffer of its socket takes whole.
    func greet(_ greeting: [UInt8], over socket: StreamSocket) -> Bool {
        greeting.withUnsafeBytes { socket.write($0) } == .wrote(greeting.count)
    }

    // MARK: Actions

    /// Performs what an event decided. An event that comes of an action is performed after everything that was decided before it,
    /// by the call that is under way.
    ///
    /// Unless that is so, the tunnel may have left for another loop when this returns: then do not touch it.
    func run(_ decided: [TunnelStateMachine.Action], on loop: isolated Loop) {
        timings?.enter(machine.state, at: .now)
        actions += decided
        guard !isActing else { return }
        isActing = true
        var next = 0
        while next < actions.count {
            perform(actions[next], on: loop)
            next += 1
        }
        actions = []
        isActing = false
        publish()
        moveIfElsewhere(on: loop)
    }

    private func perform(_ action: TunnelStateMachine.Action, on loop: isolated Loop) {
        switch action {
        case .resolve: resolve(on: loop)
        case .awaitLogin: awaitLogin(on: loop)
        case .correctSignature(let failure): correctSignature(failure, on: loop)
        case .requestSlot: requestSlot(on: loop)
        case .queueAgain: queueAgain(on: loop)
        case .blameEndpoint(let failure): blameEndpoint(failure, on: loop)
        case .dial: dial(on: loop)
        case .announceOpen: announceOpen(on: loop)
        case .announceWarm: announceWarm(on: loop)
        case .examineLocalPeer:
            guard let local else { return }
            run(machine.localPeer(is: LocalPeer.examine(local)), on: loop)
        case .announceExpiry(let left):
            let handle = handle
            let tell = tell
            services.control.submit { loop in tell(handle, .expiring(in: left), loop) }
        case .sayGoodbye(let goodbye): remote?.sayGoodbye(goodbye, on: loop)
        case .finishLocal:
            local?.shutdownWrite()
            discardsLocal = true
            drainLocal(on: loop)
        case .abortLocal:
            local?.abortOnClose()
            closeLocal(on: loop)
        case .closeLocal: closeLocal(on: loop)
        case .closeRemote:
            connect?.cancel(on: loop)
            connect = nil
            remote?.close(on: loop)
            switch machine.state {
            // The dial begins anew.
            case .resolving, .queued, .dialing: remote = nil
            // It still has the payload that is to be delivered.
            default: break
            }
        case .withdrawFromQueue:
            search?.cancel()
            search = nil
        case .releaseSlot: releaseSlot(on: loop)
        case .start(let timer): start(timer, on: loop)
        case .cancel(let timer):
            if let entry = timers.removeValue(forKey: timer) { loop.cancel(entry.deadline) }
        case .report(let reason): end(reason, on: loop)
        }
    }

    func closeLocal(on loop: isolated Loop) {
        local?.close(on: loop)
        local = nil
        dropPayload(on: loop)
    }

    private func dropPayload(on loop: isolated Loop) {
        if let remote { remote.consume(remote.payload.count, on: loop) }
    }

    func end(_ reason: CloseReason, on loop: isolated Loop) {
        work?.cancel()
        work = nil
        for entry in timers.values { loop.cancel(entry.deadline) }
        timers = [:]
        dropPayload(on: loop)
        remote = nil
        handle.move(to: .nowhere)
        if reason.failure?.kind == .targetUnreachable {
            let router = services.router
            let request = handle.request.route
            Task { await router.forget(request) }
        }
        let handle = handle
        let tell = tell
        if let client {
            // A client is only kept until the tunnel is open, and until then this is the control loop.
            self.client = nil
            client.tunnelFailed(reason, on: loop)
        }
        services.control.submit { loop in tell(handle, .ended(reason), loop) }
    }

    func publish() {
        let (state, wait, answers) = (
            TunnelHandle.State(machine.state), TunnelHandle.Wait(machine), liveness.answersPings
        )
        handle.update {
            $0.state = state
            $0.waitsFor = wait
            $0.answersPings = answers
        }
    }

    /// Somebody looks at the tunnel: finds out what takes a system call.
    func measure() { handle.update { $0.roundTrip = remote?.roundTrip } }

    // MARK: Timers

    func start(_ timer: TunnelStateMachine.Timer, on loop: isolated Loop) {
        // The service counts a tunnel's life from the request on. So does this, to be the first to end it, with the reason.
        let from = timer == .maxDuration ? requested : .now
        schedule(timer, at: from + length(of: timer), on: loop)
    }

    func schedule(
        _ timer: TunnelStateMachine.Timer, at instant: ContinuousClock.Instant, on loop: isolated Loop
    ) {
        if let old = timers.removeValue(forKey: timer) { loop.cancel(old.deadline) }
        // Looks at thousands of idle tunnels share their wake-ups.
        let tolerance: Duration = timer == .liveness ? Liveness.tolerance : .zero
        let deadline = loop.schedule(at: instant, tolerance: tolerance) { [weak self] in
            self?.fired(timer, on: loop)
        }
        timers[timer] = (deadline, instant)
    }

    func fired(_ timer: TunnelStateMachine.Timer, on loop: isolated Loop) {
        timers[timer] = nil
        guard timer != .liveness else {
            lookForLife(liveness.fired(silence: silenceOfEndpoint), on: loop)
            return
        }
        if timer == .phase, isOnSilentSpare {
            // Its path died without a word, as with a router that forgot it.
            run(machine.spareWasStale(), on: loop)
            return
        }
        let now = ContinuousClock.now
        // While the local client does not take what we have, the target's silence is our own.
        if let remote, !remote.payload.isEmpty { silentSince = now }
        run(
            machine.fired(
                timer, silence: silentSince.duration(to: now), idle: lastActivity.duration(to: now),
                unsent: local?.unsentBytes ?? 0, awaited: awaited(by: timer)),
            on: loop)
    }

    private func awaited(by timer: TunnelStateMachine.Timer) -> AwaitedPart? {
        switch timer {
        case .resolve: services.router.awaited(by: handle.request.route)
        case .phase: connect?.unresolved.map { AwaitedPart(name: $0, isHelper: false) }
        default: nil
        }
    }

    func length(of timer: TunnelStateMachine.Timer) -> Duration {
        let timeouts = services.timeouts
        switch timer {
        case .resolve: return timeouts.resolve
        case .login: return timeouts.login
        case .queue:
            let end = queueEnd ?? .now + timeouts.queue
            queueEnd = end
            return max(.zero, ContinuousClock.now.duration(to: end))
        case .warmth: return services.warmTimeToLive
        case .liveness: return Liveness.pingAfter
        case .phase:
            guard case .dialing(let phase) = machine.state else { return timeouts.dial }
            return timeouts[phase]
        case .dial: return timeouts.dial
        case .firstBytes: return timeouts.firstBytes
        case .maxDuration: return handle.request.maxDuration
        case .warning:
            guard let end = timers[.maxDuration]?.at, let warning = machine.warning else { return .zero }
            return max(ContinuousClock.now.duration(to: end) - warning, .zero)
        case .idle:
            guard let timeout = handle.request.idleTimeout else { return .zero }
            return max(timeout - lastActivity.duration(to: .now), .zero)
        case .drain: return max(timeouts.drain - silentSince.duration(to: .now), .zero)
        case .secondLook:
            looks += 1
            return looks == 1 ? .milliseconds(10) : .seconds(1)
        case .closeHandshake: return timeouts.close
        case .delivery: return timeouts.delivery
        case .localLinger: return machine.reason?.isOrderly == true ? timeouts.close : .milliseconds(100)
        }
    }

    // MARK: Warm

    func announceWarm(on loop: isolated Loop) {
        guard let slot, let pool = services.pools.get(on: loop).existing(slot.key) else { return }
        pool.becameWarm(slot.ticket, on: loop) { [weak self] in self?.close(.evicted, on: loop) }
    }

    /// A connection takes this warm tunnel. False when it cannot be had any more: then the connection is untouched.
    func join(_ stream: LocalStream, on loop: isolated Loop) -> Bool {
        guard machine.state == .warm, let slot,
            services.pools.get(on: loop).existing(slot.key)?.useWarm(slot.ticket) == true
        else { return false }
        lastActivity = .now
        silentSince = .now
        if adopt(stream, on: loop) { run(machine.joined(), on: loop) }
        return true
    }

    // MARK: Open

    func announceOpen(on loop: isolated Loop) {
        if let client {
            self.client = nil
            guard let stream = client.tunnelOpened(handle, on: loop) else {
                run(machine.close(.clientLeft), on: loop)
                return
            }
            guard adopt(stream, on: loop) else { return }
        }
        guard !peekLocal(on: loop) else { return }
        noteSilence(on: loop)
        services.logger.info(
            "tunnel open",
            metadata: [
                "event": "tunnel-opened", "tunnel": "\(handle.name)", "target": "\(handle.request.targetText)",
                "endpoint": "\(endpointName)",
                "forward": "\(handle.request.forward ?? "-")", "peer": "\(handle.peer)",
                "request_id": "\(handle.snapshot.requestID ?? "-")",
            ])
        publish()
        measure()
        tell(handle, .opened(timings ?? DialTimings()), loop)
        timings = nil
    }

    // MARK: Moving

    /// An open tunnel lives on the loop of those with its number and pace. If this is another one, the tunnel leaves: do not touch it
    /// afterwards.
    func moveIfElsewhere(on loop: isolated Loop) {
        guard machine.state == .open else { return }
        let home = services.relays.loop(of: handle.id, isBulk: pace.isBulk)
        if home !== loop { move(to: home, from: loop) }
    }

    private func move(to relay: Loop, from loop: isolated Loop) {
        local?.detach(on: loop)
        remote?.detach(on: loop)
        for entry in timers.values { loop.cancel(entry.deadline) }
        work = nil
        let handle = handle
        handle.move(to: .onTheWay(relay))
        let handover = LoopTransfer(self)
        relay.submit { loop in
            let tunnel = handover.take()
            handle.move(to: .at(LoopBound(tunnel, on: loop)))
            tunnel.arrive(on: loop)
        }
    }

    private func arrive(on loop: isolated Loop) {
        // Deadlines of the loop it left mean nothing here: their numbers are those of other tunnels.
        let running = timers
        timers = [:]
        for (timer, entry) in running { schedule(timer, at: entry.at, on: loop) }
        do throws(SystemError) {
            try local?.attach(on: loop)
            try remote?.attach(on: loop)
        } catch {
            connectionFailed(Failure(.internal, "cannot watch the tunnel's sockets", why: error.reason), on: loop)
            return
        }
        pump(on: loop)
    }
}
