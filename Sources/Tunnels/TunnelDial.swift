import AWS
import Failures
import InstanceConnect
import OpenSSL
import SocketIO
import WebSocket

/// From the request to an open tunnel on its relay loop.
extension Tunnel {
    // MARK: Resolve, queue

    func resolve(on loop: isolated Loop) {
        let bound = LoopBound(self, on: loop)
        let services = services
        let request = handle.request.route
        work = Task {
            let result: Result<Route, Failure>
            do throws(Failure) {
                result = .success(try await services.router.resolve(request))
            } catch {
                result = .failure(error)
            }
            bound.loop.submit { loop in bound.get(on: loop).resolved(result, on: loop) }
        }
    }

    private func resolved(_ result: Result<Route, Failure>, on loop: isolated Loop) {
        guard machine.state == .resolving else { return }
        switch result {
        case .success(let route):
            self.route = route
            handle.update { $0.route = route }
            run(machine.resolved(to: endpointName), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    func requestSlot(on loop: isolated Loop) {
        guard let route else { return }
        let key = EndpointKey(region: route.region, id: route.endpoint.id)
        let pool = services.pools.get(on: loop).pool(key, dnsName: route.endpoint.dnsName)
        self.pool = pool
        poolKey = key
        var isImmediate = true
        var immediate: Result<Void, Failure>?
        let ticket = pool.request { [weak self, weak pool] result in
            if isImmediate {
                immediate = result
            } else if let self {
                slotDecided(result, on: loop)
            } else if case .success = result {
                pool?.release()
            }
        }
        isImmediate = false
        self.ticket = ticket
        if let immediate { slotDecided(immediate, on: loop) }
    }

    private func slotDecided(_ result: Result<Void, Failure>, on loop: isolated Loop) {
        ticket = nil
        switch result {
        case .success: run(machine.slotGranted(), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    func releaseSlot(on loop: isolated Loop) {
        guard let poolKey else { return }
        let services = services
        let dnsName = route?.endpoint.dnsName ?? ""
        services.control.submit { loop in services.pools.get(on: loop).pool(poolKey, dnsName: dnsName).release() }
    }

    // MARK: Dial

    func dial(on loop: isolated Loop) {
        guard let route else { return }
        sign(route, on: loop)
        let address =
            services.connectTo ?? HostAndPort(host: route.endpoint.dnsName, port: route.endpoint.port)
        let bound = LoopBound(self, on: loop)
        services.resolver.resolve(address.host, port: address.port) { answer in
            bound.loop.submit { loop in bound.get(on: loop).nameResolved(answer, address, on: loop) }
        }
    }

    private func sign(_ route: Route, on loop: isolated Loop) {
        let bound = LoopBound(self, on: loop)
        let services = services
        let seconds = Int(handle.request.maxDuration.components.seconds)
        work = Task {
            let result: Result<SignedTunnel, Failure>
            do throws(Failure) {
                result = .success(try await services.router.sign(route, maxDuration: seconds))
            } catch {
                result = .failure(error)
            }
            bound.loop.submit { loop in bound.get(on: loop).requestSigned(result, on: loop) }
        }
    }

    private func requestSigned(_ result: Result<SignedTunnel, Failure>, on loop: isolated Loop) {
        guard case .dialing = machine.state else { return }
        switch result {
        case .success(let signed):
            self.signed = signed
            sendRequestIfReady(on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    private func sendRequestIfReady(on loop: isolated Loop) {
        guard let signed, let remote else { return }
        do throws(UpgradeRequest.Invalid) {
            let request = try UpgradeRequest(
                host: signed.url.hostHeader, pathAndQuery: signed.url.pathAndQuery, key: SecureRandom.bytes(16),
                userAgent: services.userAgent)
            remote.setRequest(request, on: loop)
        } catch {
            run(machine.failed(Failure(.internal, "the signed request cannot be sent", why: error.sentence)), on: loop)
        }
    }

    private func nameResolved(_ answer: Resolver.Answer, _ address: HostAndPort, on loop: isolated Loop) {
        guard machine.state == .dialing(.connect), connector == nil else { return }
        switch answer {
        case .failure(let error):
            let failure = Failure(
                .nameNotResolved, "cannot resolve \(error.host) of \(endpointName)", why: error.reason,
                hint: "is this machine online?")
            run(machine.failed(failure), on: loop)
        case .success(let addresses):
            connector = Connector(to: addresses, on: loop) { [weak self] result in
                self?.connected(result, address, on: loop)
            }
        }
    }

    func connected(
        _ result: Result<(FileDescriptor, SocketAddress), ConnectError>, _ address: HostAndPort,
        on loop: isolated Loop
    ) {
        connector = nil
        switch result {
        case .failure(let error):
            services.resolver.forget(address.host)
            let failure = Failure(
                .cannotConnect, "cannot connect to \(endpointName) at \(error.address)", why: error.error.reason)
            run(machine.failed(failure), on: loop)
        case .success((let descriptor, _)):
            descriptor.setKeepAlive(
                idle: .seconds(30), interval: .seconds(10), probes: 3, userTimeout: .seconds(60))
            do throws(Failure) {
                let names = RemoteNames(host: route?.endpoint.dnsName ?? address.host, endpoint: endpointName)
                remote = try RemoteConnection(descriptor, context: services.tls, names: names, owner: self, on: loop)
                run(machine.reached(.tls), on: loop)
                sendRequestIfReady(on: loop)
            } catch {
                run(machine.failed(error), on: loop)
            }
        }
    }

    private var endpointName: String { route?.endpoint.id ?? "the endpoint" }

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
        services.logger.info(
            "tunnel open",
            metadata: [
                "tunnel": "\(handle.name)", "target": "\(handle.request.targetText)", "endpoint": "\(endpointName)",
                "forward": "\(handle.request.forward ?? "-")", "peer": "\(handle.request.peer)",
                "request_id": "\(handle.snapshot.requestID ?? "-")",
            ])
        publish()
        measure()
        tell(handle, .opened(timings ?? DialTimings()), loop)
        timings = nil
        leaveForRelay()
    }

    // MARK: Moving

    func move(to relay: Loop, from loop: isolated Loop) {
        local?.detach(on: loop)
        remote?.detach(on: loop)
        for entry in timers.values { loop.cancel(entry.deadline) }
        pool = nil
        work = nil
        let handle = handle
        handle.move(to: .onTheWay(relay))
        let handover = Handover(self)
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
            remoteFailed(Failure(.internal, "cannot watch the tunnel's sockets", why: error.reason), on: loop)
            return
        }
        pump(on: loop)
    }
}
