import AWS
import Failures
import InstanceConnect
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import WebSocket

// A tunnel's way to an open connection: resolve, slot, connect or spare, sign, upgrade. On the control loop.

extension Tunnel {
    // MARK: Resolve

    /// Does work that must be awaited, and comes back to this loop with its result.
    func await<Value: Sendable>(
        on loop: isolated Loop, _ body: @escaping @Sendable () async throws(Failure) -> Value,
        then: @escaping @Sendable (Tunnel, Result<Value, Failure>, isolated Loop) -> Void
    ) {
        let bound = LoopBound(self, on: loop)
        work?.cancel()
        work = Task {
            let result: Result<Value, Failure>
            do throws(Failure) {
                result = .success(try await body())
            } catch {
                result = .failure(error)
            }
            bound.loop.submit { loop in then(bound.get(on: loop), result, loop) }
        }
    }

    func resolve(on loop: isolated Loop) {
        let router = services.router
        let request = handle.request.route
        self.await(on: loop) { () throws(Failure) in
            let route = try await router.resolve(request)
            return (route, try await router.prepareToSign(request), try await router.trust(request))
        } then: { tunnel, result, loop in
            if case .success((_, let signer, let trust)) = result {
                if let signer { tunnel.signer = (signer, loop.now + Self.signerTimeToLive) }
                tunnel.trust = trust
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
        if let login = machine.login { client?.tunnelNeedsLogin(login, on: loop) }
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
        guard let refusal, let signed else { return }
        self.refusal = nil
        self.signed = nil
        let router = services.router
        let request = handle.request.route
        self.await(on: loop) { () throws(Failure) in
            guard try await router.correct(refusal, of: signed, for: request) else { throw failure }
            return try await router.resolve(request)
        } then: { tunnel, result, loop in
            tunnel.resolved(result, on: loop)
        }
    }

    // MARK: Slot

    func requestSlot(on loop: isolated Loop) {
        guard let route else { return }
        let pools = services.pools.get(on: loop)
        let untried = route.candidates.filter { !failedEndpoints.contains($0.id) }
        let candidates = untried.isEmpty ? route.candidates : untried
        guard !handle.request.isWarm else {
            requestIdleSlot(at: candidates[0], route, pools, on: loop)
            return
        }
        search = SlotSearch(
            candidates, region: route.region, priority: handle.request.priority, key: handle.request.turnKey,
            pools: pools, on: loop
        ) { [weak self] result in
            self?.slotDecided(
                result.map { (HeldSlot(key: $0.pool.key, ticket: $0.ticket), $0.endpoint) }, on: loop)
        }
    }

    /// For a warm tunnel: only a slot that nobody else could want.
    private func requestIdleSlot(
        at endpoint: Endpoint, _ route: Route, _ pools: EndpointPools, on loop: isolated Loop
    ) {
        let pool = pools.pool(EndpointKey(region: route.region, id: endpoint.id), dnsName: endpoint.dnsName)
        let key = pool.key
        var ticket: Ticket?
        ticket = pool.requestWarm(key: handle.request.turnKey, on: loop) { [weak self, weak pool] result in
            guard let ticket else { return }
            switch (self, result) {
            case (let self?, .success):
                self.slotDecided(.success((HeldSlot(key: key, ticket: ticket), endpoint)), on: loop)
            // Nobody misses it.
            case (let self?, .failure): self.close(.noRoom, on: loop)
            case (nil, .success): pool?.release(ticket, on: loop)
            case (nil, .failure): break
            }
        }
    }

    private func slotDecided(_ result: Result<(HeldSlot, Endpoint), Failure>, on loop: isolated Loop) {
        search = nil
        switch result {
        case .success((let held, let endpoint)):
            slot = held
            if let chosen = route?.through(endpoint) {
                route = chosen
                handle.update { $0.route = chosen }
            }
            run(machine.slotGranted(), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    /// Gives the slot back, from whatever loop the tunnel lives on.
    func releaseSlot(on loop: isolated Loop) {
        guard let slot else { return }
        self.slot = nil
        let services = services
        services.control.submit { loop in
            services.pools.get(on: loop).existing(slot.key)?.release(slot.ticket, on: loop)
        }
    }

    /// The endpoint has no room. Unless another one has, this connection is the next to be served there.
    func queueAgain(on loop: isolated Loop) {
        guard let slot, let route, let pool = services.pools.get(on: loop).existing(slot.key) else { return }
        self.slot = nil
        usesSpare = false
        guard !handle.request.isWarm else {
            // What nobody needs yet takes no turn from those who wait.
            pool.refusedAsFull(slot.ticket, on: loop) { _ in }
            pool.withdraw(slot.ticket)
            close(.noRoom, on: loop)
            return
        }
        search = SlotSearch(
            returning: slot.ticket, to: pool, route.endpoint,
            or: route.alternatives.filter { !failedEndpoints.contains($0.id) }, priority: handle.request.priority,
            key: handle.request.turnKey, pools: services.pools.get(on: loop), on: loop
        ) { [weak self] result in
            self?.slotDecided(result.map { (HeldSlot(key: $0.pool.key, ticket: $0.ticket), $0.endpoint) }, on: loop)
        }
    }

    func blameEndpoint(_ failure: Failure, on loop: isolated Loop) {
        guard let slot, let route else { return }
        failedEndpoints.insert(slot.key.id)
        usesSpare = false
        services.pools.get(on: loop).existing(slot.key)?.failed(failure)
        services.logger.debug(
            "the endpoint fails: \(failure.sentence)",
            metadata: ["endpoint": "\(route.endpoint.id)", "tunnel": "\(handle.name)"])
    }

    // MARK: Connect

    func dial(on loop: isolated Loop) {
        guard let route, let slot, let pool = services.pools.get(on: loop).existing(slot.key) else { return }
        signed = nil
        sign(route, on: loop)
        let services = dialServices
        let spares = pool.spares(of: route.endpoint, services)
        // A retry after a stale spare is not to meet the next stale one.
        let isRetry = usesSpare
        usesSpare = false
        if !isRetry, let spare = spares.take(on: loop) {
            usesSpare = true
            remote = spare
            spare.give(to: self)
            run(machine.reached(.upgrade), on: loop)
            sendRequestIfReady(on: loop)
            return
        }
        spares.keepUp(on: loop)
        connect = HostConnect(route.endpoint, services: services, on: loop) { [weak self] event in
            guard let self else { return }
            switch event {
            case .reachedProxy: run(machine.reached(.proxy), on: loop)
            case .done(let result): connected(result, on: loop)
            }
        }
    }

    private var dialServices: TunnelServices {
        var services = services
        if let trust { services.tls = trust }
        return services
    }

    private func connected(_ result: Result<HostPath, Failure>, on loop: isolated Loop) {
        connect = nil
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
        let prepared = signer
        signer = nil
        if let prepared, loop.now < prepared.until, let signed = prepared.sign(route, seconds) {
            self.signed = signed
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
            self.signed = signed
            sendRequestIfReady(on: loop)
        case .failure(let failure) where failure.kind == .needsLogin: run(machine.needsLogin(failure), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    private func sendRequestIfReady(on loop: isolated Loop) {
        guard let signed, let remote else { return }
        requested = .now
        do throws(UpgradeRequest.Invalid) {
            let request = try UpgradeRequest(
                host: signed.url.hostHeader, pathAndQuery: signed.url.pathAndQuery, key: SecureRandom.bytes(16),
                userAgent: services.userAgent)
            remote.setRequest(request, on: loop)
        } catch {
            run(machine.failed(Failure(.internal, "the signed request cannot be sent", why: error.sentence)), on: loop)
        }
    }

    var endpointName: String { route?.endpoint.id ?? "the endpoint" }

    // MARK: What the remote side tells

    func remoteReached(_ phase: DialPhase, on loop: isolated Loop) { run(machine.reached(phase), on: loop) }

    func remoteUpgraded(requestID: String?, on loop: isolated Loop) {
        let requestID = redaction.requestID(requestID)
        let expiry = WallTime.now().advanced(by: handle.request.maxDuration.components.seconds)
        handle.update {
            $0.requestID = requestID
            $0.expiresAt = expiry
        }
        // Secret, and of no use any more.
        signed = nil
        silentSince = .now
        lastActivity = .now
        if let slot {
            services.pools.get(on: loop).existing(slot.key)?.accepted(slot.ticket, on: loop)
            liveness = Liveness(answersPings: services.pings.answers(slot.key.id))
        }
        run(machine.upgraded(), on: loop)
        // Otherwise the tunnel is on its way to another loop by now.
        if handle.request.waitsForTarget { awaitTarget(on: loop) }
    }

    func remoteRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop) {
        guard let route, let signed else { return }
        let refusal = Refusal(
            status: head.status, headers: head.headers.fields.map { ($0.name, $0.value) }, body: body,
            redaction: redaction)
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
            self.refusal = refusal
            run(machine.signatureRefused(failure), on: loop)
        }
    }

    func remoteFailed(_ failure: Failure, on loop: isolated Loop) {
        guard !isOnSilentSpare else {
            run(machine.spareWasStale(), on: loop)
            return
        }
        run(machine.failed(redaction.failure(failure)), on: loop)
    }

    /// The dial goes over a spare, and no byte of an answer came: whatever is wrong with it may be the spare's alone.
    var isOnSilentSpare: Bool { usesSpare && machine.state == .dialing(.upgrade) && remote?.hasAnswered == false }

    /// Looks at how the endpoint's bytes ended, if they have.
    func noteEnd(of remote: RemoteConnection, on loop: isolated Loop) {
        switch remote.end {
        case nil: break
        case .failed(let failure): run(machine.failed(redaction.failure(failure)), on: loop)
        case .closed(let close):
            let close = EndpointClose(code: close.code?.rawValue, reason: close.reason, redaction: redaction)
            let failure = route.flatMap { close.failure(route: $0) }
            run(machine.remoteEnded(failure.map(CloseReason.failed) ?? reasonOfOrderlyClose), on: loop)
        }
    }

    private var reasonOfOrderlyClose: CloseReason {
        .orderlyClose(
            left: timers[.maxDuration].map { ContinuousClock.now.duration(to: $0.at) }, of: handle.request.maxDuration)
    }

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
        // An end that came with the first bytes is looked at when there is somebody to deliver these to.
        if remote.payload.isEmpty { noteEnd(of: remote, on: loop) } else { run(machine.targetSpoke(), on: loop) }
    }
}
