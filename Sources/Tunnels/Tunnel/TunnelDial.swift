import Basics
import Failures
import Logging
import SocketIO
import Transport

/// The state of a tunnel's look-up and dial.
struct TunnelDial {
    /// The asynchronous step that the tunnel waits for.
    fileprivate var work: Task<Void, Never>?
    fileprivate var dial: (any Dial)?
    /// What the look-up left for each dial that follows it. Internal because tests move time.
    var preparation: (any Sendable)?
}

// A tunnel's way to an open stream: resolve, slot (TunnelSlot), dial. On the control loop.

extension Tunnel {
    // MARK: Resolve

    /// Does work that must be awaited, and comes back to this loop with its result.
    private func await<Value: Sendable>(
        on loop: isolated Loop, _ body: @escaping @Sendable () async throws(Failure) -> Value,
        then: @escaping @Sendable (Tunnel, Result<Value, Failure>, isolated Loop) -> Void
    ) {
        let bound = LoopBound(self, on: loop)
        dial.work?.cancel()
        dial.work = Task {
            let result: Result<Value, Failure>
            do throws(Failure) {
                result = .success(try await body())
            } catch {
                result = .failure(error)
            }
            bound.loop.submit { loop in then(bound.get(on: loop), result, loop) }
        }
    }

    func cancelWork() {
        dial.work?.cancel()
        dial.work = nil
    }

    func resolve(on loop: isolated Loop) {
        let request = handle.request.route
        let transport = services.transport(for: request)
        self.await(on: loop) { () throws(Failure) in
            try await transport.resolve(request)
        } then: { tunnel, result, loop in
            tunnel.resolved(result, on: loop)
        }
    }

    private func resolved(_ result: Result<ResolvedRoute, Failure>, on loop: isolated Loop) {
        guard machine.state == .resolving else { return }
        switch result {
        case .success(let resolved):
            let route = resolved.route
            self.route = route
            dial.preparation = resolved.preparation
            handle.update { $0.route = route }
            run(machine.resolved(to: gatewayName, alternatives: route.alternatives.count), on: loop)
        case .failure(let failure) where failure.kind == .needsLogin: run(machine.needsLogin(failure), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    func awaitLogin(on loop: isolated Loop) {
        announceLogin(on: loop)
        let request = handle.request.route
        let transport = services.transport(for: request)
        self.await(on: loop) { () throws(Failure) in
            try await transport.awaitLogin(request)
        } then: { tunnel, result, loop in
            switch result {
            case .success: tunnel.run(tunnel.machine.loggedIn(), on: loop)
            case .failure(let failure): tunnel.run(tunnel.machine.failed(failure), on: loop)
            }
        }
    }

    // MARK: Dial

    func beginDial(on loop: isolated Loop) {
        guard let route else { return }
        let options = DialOptions(
            request: handle.request.route, maxDuration: handle.request.maxDuration, tunnel: handle.name,
            preparation: dial.preparation, releaseSlot: slotRelease)
        dial.dial = services.transport(of: route.path.gateway).dial(route, options, on: loop) {
            [weak self] event in self?.dialReported(event, on: loop)
        }
    }

    func cancelDial(on loop: isolated Loop) {
        dial.dial?.cancel(on: loop)
        dial.dial = nil
    }

    /// What the dial's present phase waits for.
    var awaitedByDial: AwaitedPart? { dial.dial?.awaited }

    /// Whether the dial continues though its phase has exceeded its limit.
    func dialContinues(on loop: isolated Loop) -> Bool { dial.dial?.phaseTimedOut(on: loop) ?? false }

    private func dialReported(_ event: DialEvent, on loop: isolated Loop) {
        switch event {
        case .reached(let phase): run(machine.reached(phase), on: loop)
        case .answered(let serviceID): handle.update { $0.requestID = serviceID }
        case .opened(let opened): streamOpened(opened, on: loop)
        case .refused(.full(let failure)): run(machine.refusedAsFull(failure), on: loop)
        case .refused(.needsLogin(let failure)): run(machine.needsLogin(failure), on: loop)
        case .refused(.gatewayFailed(let failure)): run(machine.gatewayFailed(failure), on: loop)
        case .refused(.failed(let failure)): run(machine.failed(failure), on: loop)
        }
    }

    private func streamOpened(_ opened: OpenedStream, on loop: isolated Loop) {
        dial.dial = nil
        // An open tunnel keeps nothing that can sign.
        dial.preparation = nil
        let stream = opened.stream
        stream.owner = self
        remote = stream
        clock.requested = opened.began
        let expiry = WallTime.now().advanced(by: handle.request.maxDuration.components.seconds)
        handle.update { $0.expiresAt = expiry }
        clock.restart()
        clock.liveness = Liveness(answersPings: stream.answersProbes)
        slotAccepted(on: loop)
        if opened.keepsSlot { leaveSlot() }
        run(machine.connected(canHalfClose: stream.canHalfClose), on: loop)
        // Otherwise the tunnel is on its way to another loop by now.
        if handle.request.waitsForTarget { awaitTarget(on: loop) }
    }

    var gatewayName: String { route?.path.gateway.id ?? "the endpoint" }

    // MARK: Reports of the stream

    func streamIsReady(on loop: isolated Loop) {
        switch machine.state {
        case .awaitingTarget: awaitTarget(on: loop)
        case .open, .draining: pump(on: loop)
        default: break
        }
    }

    private func awaitTarget(on loop: isolated Loop) {
        guard machine.state == .awaitingTarget, let remote else { return }
        remote.flush(on: loop)
        var rounds = 64
        while remote.payload.isEmpty, remote.mayFill {
            guard rounds > 0 else { return remote.callAgain(on: loop) }
            rounds -= 1
            guard remote.fill(on: loop) else { break }
        }
        // If an end came with the first bytes, the open tunnel delivers these first.
        if remote.payload.isEmpty { noteEnd(of: remote, on: loop) } else { run(machine.targetSpoke(), on: loop) }
    }
}
