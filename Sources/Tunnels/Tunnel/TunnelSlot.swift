import Failures
import InstanceConnect
import Logging
import SocketIO

/// The slot that a tunnel waits for or holds.
struct TunnelSlot {
    fileprivate struct Held {
        let key: EndpointKey
        let ticket: Ticket
    }

    /// While the tunnel waits for a slot.
    fileprivate var search: SlotSearch?
    /// The slot's pool belongs to the control loop.
    fileprivate var held: Held?
    /// Endpoints that failed on this tunnel.
    fileprivate var failedEndpoints: Set<String> = []
    /// The pool counts the tunnel as one whose client has sent nothing.
    fileprivate var isSilent = false
}

// On the control loop, except where a method says otherwise.

extension Tunnel {
    /// The pool and the ticket of the slot that the tunnel holds.
    private func heldPlace(on loop: isolated Loop) -> (pool: EndpointPool, ticket: Ticket)? {
        guard let held = slot.held, let pool = services.pools.get(on: loop).existing(held.key) else { return nil }
        return (pool, held.ticket)
    }

    // MARK: Before the dial

    func requestSlot(on loop: isolated Loop) {
        guard let route else { return }
        let pools = services.pools.get(on: loop)
        let untried = route.candidates.filter { !slot.failedEndpoints.contains($0.id) }
        let candidates = untried.isEmpty ? route.candidates : untried
        guard !handle.request.isWarm else {
            requestIdleSlot(at: candidates[0], route, pools, on: loop)
            return
        }
        slot.search = SlotSearch(
            candidates, region: route.region, priority: handle.request.priority, key: handle.request.turnKey,
            pools: pools, on: loop
        ) { [weak self] result in self?.searchEnded(result, on: loop) }
    }

    /// For a warm tunnel: only a slot that no waiting tunnel needs.
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
                self.slotDecided(.success((TunnelSlot.Held(key: key, ticket: ticket), endpoint)), on: loop)
            // A forward works without its warm tunnel.
            case (let self?, .failure): self.close(.noRoom, on: loop)
            case (nil, .success): pool?.release(ticket, on: loop)
            case (nil, .failure): break
            }
        }
    }

    private func searchEnded(_ result: Result<SlotSearch.Slot, Failure>, on loop: isolated Loop) {
        slotDecided(
            result.map { (TunnelSlot.Held(key: $0.pool.key, ticket: $0.ticket), $0.endpoint) }, on: loop)
    }

    private func slotDecided(_ result: Result<(TunnelSlot.Held, Endpoint), Failure>, on loop: isolated Loop) {
        slot.search = nil
        switch result {
        case .success((let held, let endpoint)):
            slot.held = held
            if let chosen = route?.through(endpoint) {
                route = chosen
                handle.update { $0.route = chosen }
            }
            run(machine.slotGranted(), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    func withdrawFromQueue() {
        slot.search?.cancel()
        slot.search = nil
    }

    /// Gives the slot back, from whatever loop the tunnel lives on.
    func releaseSlot(on loop: isolated Loop) {
        guard let held = slot.held else { return }
        slot.held = nil
        let pools = services.pools
        services.control.submit { loop in pools.get(on: loop).existing(held.key)?.release(held.ticket, on: loop) }
    }

    /// The endpoint has no room. If no other endpoint has, this connection is served next there.
    func queueAgain(on loop: isolated Loop) {
        guard let (pool, ticket) = heldPlace(on: loop), let route else { return }
        slot.held = nil
        dial.usesSpare = false
        guard !handle.request.isWarm else {
            // A warm tunnel takes no turn from those who wait.
            pool.refusedAsFull(ticket, on: loop) { _ in }
            pool.withdraw(ticket)
            close(.noRoom, on: loop)
            return
        }
        slot.search = SlotSearch(
            returning: ticket, to: pool, route.endpoint,
            or: route.alternatives.filter { !slot.failedEndpoints.contains($0.id) }, priority: handle.request.priority,
            key: handle.request.turnKey, pools: services.pools.get(on: loop), on: loop
        ) { [weak self] result in self?.searchEnded(result, on: loop) }
    }

    func blameEndpoint(_ failure: Failure, on loop: isolated Loop) {
        guard let held = slot.held, let route else { return }
        slot.failedEndpoints.insert(held.key.id)
        dial.usesSpare = false
        heldPlace(on: loop)?.pool.failed(failure)
        services.logger.debug(
            "the endpoint fails: \(failure.sentence)",
            metadata: ["endpoint": "\(route.endpoint.id)", "tunnel": "\(handle.name)"])
    }

    /// The spares of the endpoint whose slot the tunnel holds.
    func spares(for route: Route, _ services: TunnelServices, on loop: isolated Loop) -> Spares? {
        heldPlace(on: loop)?.pool.spares(of: route.endpoint, services)
    }

    // MARK: After the dial

    /// The endpoint accepted the tunnel.
    func slotAccepted(on loop: isolated Loop) {
        if let (pool, ticket) = heldPlace(on: loop) { pool.accepted(ticket, on: loop) }
    }

    func announceWarm(on loop: isolated Loop) {
        guard let (pool, ticket) = heldPlace(on: loop) else { return }
        pool.becameWarm(ticket, on: loop) { [weak self] in self?.close(.evicted, on: loop) }
    }

    /// Keeps the warm tunnel's slot for a connection that joins. False if the slot was taken away already.
    func useWarmSlot(on loop: isolated Loop) -> Bool {
        heldPlace(on: loop).map { $0.pool.useWarm($0.ticket) } ?? false
    }

    /// The tunnel is open. While its client sends nothing, the pool may give its slot to a waiting tunnel.
    func noteSilence(on loop: isolated Loop) {
        guard local.isSilent, let (pool, ticket) = heldPlace(on: loop) else { return }
        slot.isSilent = true
        let handle = handle
        pool.becameSilent(ticket, on: loop) { handle.close(.silent) }
    }

    /// The client has sent something. On any loop.
    func endSilence() {
        guard slot.isSilent else { return }
        slot.isSilent = false
        guard let held = slot.held else { return }
        let pools = services.pools
        services.control.submit { loop in pools.get(on: loop).existing(held.key)?.spoke(held.ticket) }
    }
}
