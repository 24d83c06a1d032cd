import AWS
import Basics
import Failures
import InstanceConnect
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import WebSocket

/// The state of a tunnel's dial.
struct TunnelDial {
    /// The dial uses a spare. Internal because a new slot (`TunnelSlot.swift`) resets it.
    var usesSpare = false
    /// The asynchronous step that the dial waits for.
    fileprivate var work: Task<Void, Never>?
    fileprivate var connect: HostConnect?
    /// Trust roots for this dial; nil means the daemon's default.
    fileprivate var trust: TLSContext?
    /// Signs the first dial without waiting, if it comes soon. Internal because tests move time.
    var signer: (sign: TunnelSigner, until: ContinuousClock.Instant)?
    fileprivate var signed: SignedTunnel? { didSet { if let signed { redaction.add(signed.secrets) } } }
    /// Hides the secrets of all requests that were signed for this tunnel: the endpoint may repeat one in the reason of
    /// a close that comes an hour later.
    fileprivate var redaction = Redaction.none
    /// The endpoint's answer to a signature that it refused.
    fileprivate var refusal: Refusal?
}

// A tunnel's way to an open connection: resolve, slot (TunnelSlot), connect or spare, sign, upgrade. On the control
// loop.

extension Tunnel {
    // MARK: Resolve

    /// Does work that must be awaited, and comes back to this loop with its result.
    func await<Value: Sendable>(
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
        let router = services.router
        let request = handle.request.route
        self.await(on: loop) { () throws(Failure) in
            let route = try await router.resolve(request)
            return (route, try await router.prepareToSign(request), try await router.trust(request))
        } then: { tunnel, result, loop in
            if case .success((_, let signer, let trust)) = result {
                if let signer { tunnel.dial.signer = (signer, loop.now + Self.signerTimeToLive) }
                tunnel.dial.trust = trust
            }
            tunnel.resolved(result.map(\.0), on: loop)
        }
    }

    /// After a wait for a slot that is longer, credentials are asked for anew.
    private static let signerTimeToLive = Duration.seconds(5)

    private func resolved(_ result: Result<Route, Failure>, on loop: isolated Loop) {
        guard machine.state == .resolving else { return }
        switch result {
        case .success(let route):
            self.route = route
            handle.update { $0.route = route }
            run(machine.resolved(to: endpointName, alternatives: route.alternatives.count), on: loop)
        case .failure(let failure) where failure.kind == .needsLogin: run(machine.needsLogin(failure), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    func awaitLogin(on loop: isolated Loop) {
        announceLogin(on: loop)
        let router = services.router
        let request = handle.request.route
        self.await(on: loop) { () throws(Failure) in
            try await router.awaitLogin(request)
        } then: { tunnel, result, loop in
            switch result {
            case .success: tunnel.run(tunnel.machine.loggedIn(), on: loop)
            case .failure(let failure): tunnel.run(tunnel.machine.failed(failure), on: loop)
            }
        }
    }

    /// Puts right what the endpoint refused, and resolves again: most of that is cached.
    func correctSignature(_ failure: Failure, on loop: isolated Loop) {
        guard let refusal = dial.refusal, let signed = dial.signed else { return }
        dial.refusal = nil
        dial.signed = nil
        let router = services.router
        let request = handle.request.route
        self.await(on: loop) { () throws(Failure) in
            guard try await router.correct(refusal, of: signed, for: request) else { throw failure }
            return try await router.resolve(request)
        } then: { tunnel, result, loop in
            tunnel.resolved(result, on: loop)
        }
    }

    // MARK: Connect

    func beginDial(on loop: isolated Loop) {
        let services = dialServices
        guard let route, let spares = spares(for: route, services, on: loop) else { return }
        dial.signed = nil
        sign(route, on: loop)
        // A retry after a stale spare is not to meet the next stale one.
        let isRetry = dial.usesSpare
        dial.usesSpare = false
        if !isRetry, let spare = spares.take(on: loop) {
            dial.usesSpare = true
            remote = spare
            spare.give(to: self)
            run(machine.reached(.upgrade), on: loop)
            sendRequestIfReady(on: loop)
            return
        }
        spares.keepUp(on: loop)
        dial.connect = HostConnect(route.endpoint, services: services, on: loop) { [weak self] event in
            guard let self else { return }
            switch event {
            case .reachedProxy: run(machine.reached(.proxy), on: loop)
            case .done(let result): connected(result, on: loop)
            }
        }
    }

    private var dialServices: TunnelServices {
        var services = services
        if let trust = dial.trust { services.tls = trust }
        return services
    }

    func cancelConnect(on loop: isolated Loop) {
        dial.connect?.cancel(on: loop)
        dial.connect = nil
    }

    /// The name that the connect is still resolving.
    var unresolvedName: String? { dial.connect?.unresolved }

    private func connected(_ result: Result<HostPath, Failure>, on loop: isolated Loop) {
        dial.connect = nil
        guard let route else { return }
        do throws(Failure) {
            remote = try RemoteConnection(
                try result.get(), context: dialServices.tls, names: RemoteNames(route.endpoint),
                handshakes: services.handshakes.get(on: loop), owner: self, on: loop)
            run(machine.reached(.tls), on: loop)
            sendRequestIfReady(on: loop)
        } catch {
            run(machine.failed(error), on: loop)
        }
    }

    // MARK: Sign

    private func sign(_ route: Route, on loop: isolated Loop) {
        let router = services.router
        let seconds = Int(handle.request.maxDuration.components.seconds)
        let prepared = dial.signer
        dial.signer = nil
        if let prepared, loop.now < prepared.until, let signed = prepared.sign(route, seconds) {
            dial.signed = signed
            return
        }
        self.await(on: loop) { () throws(Failure) in
            try await router.sign(route, maxDuration: seconds)
        } then: { tunnel, result, loop in
            tunnel.requestSigned(result, on: loop)
        }
    }

    private func requestSigned(_ result: Result<SignedTunnel, Failure>, on loop: isolated Loop) {
        guard case .dialing = machine.state else { return }
        switch result {
        case .success(let signed):
            dial.signed = signed
            sendRequestIfReady(on: loop)
        case .failure(let failure) where failure.kind == .needsLogin: run(machine.needsLogin(failure), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    private func sendRequestIfReady(on loop: isolated Loop) {
        guard let route, let signed = dial.signed, let remote else { return }
        clock.requested = .now
        do throws(UpgradeRequest.Invalid) {
            let request = try UpgradeRequest(
                host: signed.url.hostHeader, pathAndQuery: signed.url.pathAndQuery, key: SecureRandom.bytes(16),
                userAgent: services.userAgent)
            remote.setRequest(request, to: route, redaction: dial.redaction, on: loop)
        } catch {
            run(machine.failed(Failure(.internal, "the signed request cannot be sent", why: error.sentence)), on: loop)
        }
    }

    var endpointName: String { route?.endpoint.id ?? "the endpoint" }

    // MARK: What the remote side tells

    func remoteReached(_ phase: DialPhase, on loop: isolated Loop) { run(machine.reached(phase), on: loop) }

    func remoteUpgraded(requestID: String?, on loop: isolated Loop) {
        let requestID = dial.redaction.requestID(requestID)
        let expiry = WallTime.now().advanced(by: handle.request.maxDuration.components.seconds)
        handle.update {
            $0.requestID = requestID
            $0.expiresAt = expiry
        }
        // Secret, and of no use any more.
        dial.signed = nil
        clock.restart()
        clock.liveness = Liveness(answersPings: services.pings.answers(endpointName))
        slotAccepted(on: loop)
        run(machine.upgraded(), on: loop)
        // Otherwise the tunnel is on its way to another loop by now.
        if handle.request.waitsForTarget { awaitTarget(on: loop) }
    }

    func remoteRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop) {
        guard let route, let signed = dial.signed else { return }
        let refusal = Refusal(
            status: head.status, headers: head.headers.fields.map { ($0.name, $0.value) }, body: body,
            redaction: dial.redaction)
        handle.update { $0.requestID = refusal.requestID }
        switch refusal.classification {
        case .full, .throttled:
            services.logger.info(
                "the endpoint takes no more for now: \(refusal.summary)",
                metadata: ["endpoint": "\(route.endpoint.id)", "tunnel": "\(handle.name)"])
            run(machine.refusedAsFull(refusal.failure(route: route, credentials: signed.credentials)), on: loop)
        default:
            let failure = refusal.failure(route: route, credentials: signed.credentials)
            guard refusal.flaw(of: signed.credentials, signedAt: signed.url.signedAt) != nil else {
                run(machine.failed(failure), on: loop)
                return
            }
            dial.refusal = refusal
            run(machine.signatureRefused(failure), on: loop)
        }
    }

    func remoteFailed(_ failure: Failure, on loop: isolated Loop) {
        guard !isOnSilentSpare else {
            run(machine.spareWasStale(), on: loop)
            return
        }
        run(machine.failed(dial.redaction.failure(failure)), on: loop)
    }

    /// The dial goes over a spare, and no byte of an answer came: whatever is wrong with it may be the spare's alone.
    var isOnSilentSpare: Bool { dial.usesSpare && machine.state == .dialing(.upgrade) && remote?.hasAnswered == false }

    func remoteIsReady(on loop: isolated Loop) {
        switch machine.state {
        case .awaitingTarget: awaitTarget(on: loop)
        case .open, .draining: pump(on: loop)
        default: break
        }
    }

    func awaitTarget(on loop: isolated Loop) {
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
