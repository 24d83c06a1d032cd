// A byte's way, step 2 of 5: joins a local connection to a remote one. Next: TunnelStateMachine (3), which decides.

import Failures
import Logging
import SocketIO
import Transport

/// One tunnel: its two sides and its timers. Performs the actions that ``TunnelStateMachine`` decides.
///
/// Lives on the control loop until it is open, then on a relay loop: an interactive one, or a bulk one while it carries
/// much (``RelayLoops``).
///
/// `TunnelSlot.swift` and `TunnelDial.swift` open its connection, `TunnelPump.swift` moves the bytes, and
/// `TunnelClock.swift` has the timers. Each of these keeps its state in a struct with members that are private to it.
final class Tunnel: StreamSocketOwner, RemoteStreamOwner {
    let handle: TunnelHandle
    let services: TunnelServices
    /// Internal because every file reports events to it.
    var machine: TunnelStateMachine
    /// Internal because the dial sets it and the pump uses it.
    var remote: (any RemoteStream)?
    /// Internal because the look-up sets it, and each slot may choose another endpoint.
    var route: Route?
    /// The pump's.
    var local = LocalSide()
    var pace: Pace
    /// The other files' own.
    var clock = TunnelClock()
    var slot = TunnelSlot()
    var dial = TunnelDial()

    private var client: (any TunnelClient)?
    private let report: @Sendable (TunnelHandle, TunnelEvent, isolated Loop) -> Void
    /// Nil once the tunnel is open.
    private var timings: DialTimings? = DialTimings()
    /// Decided and not performed yet, in the order of the decisions.
    private var actions: [TunnelStateMachine.Action] = []
    private var isActing = false

    init(
        _ handle: TunnelHandle, services: TunnelServices, client: (any TunnelClient)?,
        report: @escaping @Sendable (TunnelHandle, TunnelEvent, isolated Loop) -> Void
    ) {
        self.handle = handle
        self.services = services
        self.client = client
        self.report = report
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

    private func adopt(_ stream: LocalStream, on loop: isolated Loop) -> Bool {
        do throws(SystemError) {
            let isSSH = ServerPort.speaksFirst(handle.request.route.remotePort)
            try local.adopt(stream, isSSH: isSSH, owner: self, on: loop)
        } catch {
            stream.descriptor.close()
            let failure = Failure(.internal, "cannot watch the local connection", why: error.reason)
            run(machine.close(.failed(failure)), on: loop)
            return false
        }
        guard local.greet(stream.greeting) else {
            run(machine.localBroke(), on: loop)
            return false
        }
        return true
    }

    // MARK: Actions

    /// Performs the actions that an event decided, after all that were decided before. If an action causes the event,
    /// the outer call performs them.
    ///
    /// The outer call may move the tunnel to another loop. Do not touch an open tunnel after it.
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
        case .requestSlot: requestSlot(on: loop)
        case .queueAgain: queueAgain(on: loop)
        case .blameGateway(let failure): blameGateway(failure, on: loop)
        case .dial: beginDial(on: loop)
        case .announceOpen: announceOpen(on: loop)
        case .announceWarm: announceWarm(on: loop)
        case .examineLocalPeer:
            guard let socket = local.socket else { return }
            run(machine.localPeer(is: LocalPeer.examine(socket)), on: loop)
        case .announceExpiry(let left):
            let handle = handle
            let report = report
            services.control.submit { loop in report(handle, .expiring(in: left), loop) }
        case .finishSending: remote?.finishSending(on: loop)
        case .sayGoodbye(let goodbye): remote?.sayGoodbye(goodbye, on: loop)
        case .finishLocal: finishLocal(on: loop)
        case .abortLocal: closeLocal(aborting: true, on: loop)
        case .closeLocal: closeLocal(aborting: false, on: loop)
        case .closeRemote:
            cancelDial(on: loop)
            remote?.close(on: loop)
            switch machine.state {
            // The next dial brings another stream.
            case .resolving, .queued, .dialing: remote = nil
            // It still has the payload that is to be delivered.
            default: break
            }
        case .withdrawFromQueue: withdrawFromQueue()
        case .releaseSlot: releaseSlot(on: loop)
        case .start(let timer): start(timer, on: loop)
        case .cancel(let timer): clock.cancel(timer, on: loop)
        case .report(let reason): end(reason, on: loop)
        }
    }

    private func closeLocal(aborting: Bool, on loop: isolated Loop) {
        local.close(aborting: aborting, on: loop)
        dropPayload(on: loop)
    }

    private func dropPayload(on loop: isolated Loop) {
        if let remote { remote.consume(remote.payload.count, on: loop) }
    }

    private func end(_ reason: CloseReason, on loop: isolated Loop) {
        cancelWork()
        clock.cancelAll(on: loop)
        dropPayload(on: loop)
        remote = nil
        handle.move(to: .nowhere)
        if reason.failure?.kind == .targetUnreachable {
            let request = handle.request.route
            let transport = services.transport(for: request)
            Task { await transport.forget(request) }
        }
        let handle = handle
        let report = report
        if let client {
            // A client is only kept until the tunnel is open, and until then this is the control loop.
            self.client = nil
            client.tunnelFailed(reason, on: loop)
        }
        services.control.submit { loop in report(handle, .ended(reason), loop) }
    }

    private func publish() {
        let (state, wait, answers) = (
            TunnelHandle.State(machine.state), TunnelHandle.Wait(machine), clock.liveness.answersPings
        )
        handle.update {
            $0.state = state
            $0.waitsFor = wait
            $0.answersPings = answers
        }
    }

    /// Somebody looks at the tunnel: finds out what takes a system call.
    func measure() { handle.update { $0.roundTrip = remote?.roundTrip } }

    // MARK: Warm

    /// A connection takes this warm tunnel. False when it cannot be had any more: then the connection is untouched.
    func join(_ stream: LocalStream, on loop: isolated Loop) -> Bool {
        guard machine.state == .warm, useWarmSlot(on: loop) else { return false }
        clock.restart()
        if adopt(stream, on: loop) { run(machine.joined(), on: loop) }
        return true
    }

    // MARK: Open

    /// Tells a client that waits for the tunnel to log in.
    func announceLogin(on loop: isolated Loop) {
        if let login = machine.login { client?.tunnelNeedsLogin(login, on: loop) }
    }

    private func announceOpen(on loop: isolated Loop) {
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
                "endpoint": "\(gatewayName)",
                "forward": "\(handle.request.forward ?? "-")", "peer": "\(handle.peer)",
                "request_id": "\(handle.snapshot.requestID ?? "-")",
            ])
        publish()
        measure()
        report(handle, .opened(timings ?? DialTimings()), loop)
        timings = nil
    }

    // MARK: Moving

    /// Moves an open tunnel to the loop for its number and pace, if it is on another one. Do not touch it afterwards.
    func moveIfElsewhere(on loop: isolated Loop) {
        guard machine.state == .open else { return }
        let home = services.relays.loop(of: handle.id, isBulk: pace.isBulk)
        if home !== loop { move(to: home, from: loop) }
    }

    private func move(to relay: Loop, from loop: isolated Loop) {
        local.socket?.detach(on: loop)
        remote?.detach(on: loop)
        clock.suspend(on: loop)
        cancelWork()
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
        resumeTimers(on: loop)
        do throws(SystemError) {
            try local.socket?.attach(on: loop)
            try remote?.attach(on: loop)
        } catch {
            connectionFailed(Failure(.internal, "cannot watch the tunnel's sockets", why: error.reason), on: loop)
            return
        }
        pump(on: loop)
    }
}
