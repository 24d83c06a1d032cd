import Glibc
import SocketIO
import WebSocket

/// The request for a tunnel and its answer.
extension TunnelConnection {
    func readRequest(on loop: isolated Loop) {
        let buffer = loop.buffers.borrow()
        defer { loop.buffers.giveBack(buffer) }
        while phase == .request {
            buffer.clear()
            switch decrypt(into: buffer, on: loop) {
            case .none: return
            case .ended: finish(on: loop)
            case .some:
                switch parser?.feed(buffer.filled) {
                case .request(let request): answer(request, on: loop)
                case .malformed(let status, let why):
                    refuse(
                        TunnelRefusal(status: status, errorCode: "MalformedRequest", message: why), on: loop)
                case .needsMore, nil: continue
                }
            }
        }
    }

    private func answer(_ request: HTTPRequest, on loop: isolated Loop) {
        let result = OpenTunnelRequest.check(
            request, inventory: service.state.inventory, verifier: service.verifier, now: service.state.now)
        let tunnel: OpenTunnelRequest
        switch result {
        case .success(let good): tunnel = good
        case .failure(let refusal):
            refuse(refusal, on: loop)
            return
        }
        let key: String
        do {
            let fields = request.fields.map { HTTPHeaders.Field($0.name, $0.value) }
            key = try HTTPRequestHead(method: request.method, target: request.target, headers: HTTPHeaders(fields))
                .webSocketKey()
        } catch {
            refuse(
                TunnelRefusal(status: error.status, errorCode: "InvalidUpgrade", message: error.sentence), on: loop)
            return
        }
        if let fault = service.state.takeFault(.upgrade, endpoint: tunnel.endpoint.id) {
            strikeAtUpgrade(fault, key: key, on: loop)
            return
        }
        guard service.state.admit(to: tunnel.endpoint) else {
            refuse(.full(tunnel.endpoint.id, limit: service.state.limit(of: tunnel.endpoint)), on: loop)
            return
        }
        holdsSlot = true
        open(tunnel, key: key, on: loop)
    }

    /// Answers 101 before the target is known to be there, as the service does.
    private func open(_ tunnel: OpenTunnelRequest, key: String, on loop: isolated Loop) {
        self.tunnel = tunnel
        service.log.info("\(requestID): tunnel to \(tunnel.address):\(tunnel.port) over \(tunnel.endpoint.id)")
        phase = .open
        limitTunnel(to: .seconds(tunnel.maxDuration), on: loop)
        send(
            UpgradeResponse.accepting(key: key, headers: HTTPHeaders([.init("x-amzn-RequestId", requestID)])), on: loop)
        // A client may send frames before it has the answer; they came along with the request.
        let early = parser?.rest ?? []
        parser = nil
        if !early.isEmpty { takeEarly(early, on: loop) }
        openFault = service.state.takeFault(.open, endpoint: tunnel.endpoint.id)
        connect(to: tunnel, on: loop)
        strikeIfDue(on: loop)
    }

    private func connect(to tunnel: OpenTunnelRequest, on loop: isolated Loop) {
        guard let address = service.state.socketAddress(ofTarget: tunnel.address, port: tunnel.port) else {
            targetIsUnreachable(on: loop)
            return
        }
        let timeout = loop.schedule(after: service.timeouts.connect) { [weak self] in
            guard let self, connector != nil else { return }
            connector?.cancel(on: loop)
            connector = nil
            targetIsUnreachable(on: loop)
            pump(on: loop)
        }
        connector = Connector(to: [address], on: loop) { [weak self] result in
            loop.cancel(timeout)
            guard let self else { return }
            connector = nil
            // A client that closed meanwhile may have left bytes that are still to be delivered.
            if case .success((let descriptor, _)) = result {
                descriptor.setNoDelay()
                target = try? StreamSocket(descriptor, owner: self, on: loop)
            }
            if target == nil {
                targetIsGone = true
                targetIsUnreachable(on: loop)
            }
            pump(on: loop)
        }
    }

    private func targetIsUnreachable(on loop: isolated Loop) {
        guard phase == .open else { return }
        service.state.count { $0.targetsUnreachable += 1 }
        close(.internalError, "Unable to connect to target", on: loop)
    }

    func refuse(_ refusal: TunnelRefusal, on loop: isolated Loop) {
        service.log.notice("\(requestID): refused with \(refusal.status) \(refusal.errorCode): \(refusal.message)")
        respond(refusal.status, body: refusal.body, on: loop)
    }

    /// Answers with something that is no tunnel, and ends the connection.
    func respond(_ status: Int, body: [UInt8], on loop: isolated Loop) {
        service.state.count { $0.refused += 1 }
        let headers = HTTPHeaders([
            .init("x-amzn-RequestId", requestID), .init("Date", DateText.http(service.state.now)),
        ])
        send(UpgradeResponse.refusing(status: status, headers: headers, body: body), on: loop)
        end(with: .closeNotify, on: loop)
    }
}
