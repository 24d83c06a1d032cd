import Failures
import Logging
import SocketIO
import Transport

/// The slot that a tunnel waits for or holds.
struct TunnelSlot {
    fileprivate struct Held {
        let gateway: Gateway
        let ticket: Ticket
    }

    /// While the tunnel waits for a slot.
    fileprivate var search: SlotSearch?
    /// The slot's pool belongs to the control loop.
    fileprivate var held: Held?
    /// Gateways that failed on this tunnel.
    fileprivate var failed: Set<Gateway> = []
    /// An open connection had no room for the tunnel.
    fileprivate var wasRefusedByCarrier = false
    /// The pool counts the tunnel as one whose client has sent nothing.
    fileprivate var isSilent = false
}

// On the control loop, except where a method says otherwise.

extension Tunnel {
    /// The pool and the ticket of the slot that the tunnel holds.
    private func heldPlace(on loop: isolated Loop) -> (pool: GatewayPool, ticket: Ticket)? {
        guard let held = slot.held, let pool = services.pools.get(on: loop).existing(held.gateway) else { return nil }
        return (pool, held.ticket)
    }

    // MARK: Before the dial

    func requestSlot(on loop: isolated Loop) {
        guard let route else { return }
        let pools = services.pools.get(on: loop)
        if !slot.wasRefusedByCarrier,
            let path = route.candidates.first(where: {
                !slot.failed.contains($0.gateway) && services.transport(of: $0.gateway).carries($0, on: loop)
            })
        {
            dialWithoutSlot(by: path, on: loop)
            return
        }
        let untried = route.candidates.filter { !slot.failed.contains($0.gateway) }
        let candidates = untried.isEmpty ? route.candidates : untried
        guard !handle.request.isWarm else {
            requestIdleSlot(at: candidates[0], pools, on: loop)
            return
        }
        slot.search = SlotSearch(
            candidates, priority: handle.request.priority, key: handle.request.turnKey, pools: pools, on: loop
        ) { [weak self] result in self?.searchEnded(result, on: loop) }
    }

    private func dialWithoutSlot(by path: Path, on loop: isolated Loop) {
        choose(path)
        let limits = services.transport(of: path.gateway).limits(on: loop)
        run(machine.slotGranted(firstPhase: limits.firstPhase), on: loop)
    }

    private func choose(_ path: Path) {
        guard let chosen = route?.by(path) else { return }
        route = chosen
        handle.update { $0.route = chosen }
    }

    /// For a warm tunnel: only a slot that no waiting tunnel needs.
    private func requestIdleSlot(at path: Path, _ pools: GatewayPools, on loop: isolated Loop) {
        let pool = pools.pool(path.gateway, host: path.host?.host)
        var ticket: Ticket?
        ticket = pool.requestWarm(key: handle.request.turnKey, on: loop) { [weak self, weak pool] result in
            guard let ticket else { return }
            switch (self, result) {
            case (let self?, .success):
                self.slotDecided(.success((TunnelSlot.Held(gateway: path.gateway, ticket: ticket), path)), on: loop)
            // A forward works without its warm tunnel.
            case (let self?, .failure): self.close(.noRoom, on: loop)
            case (nil, .success): pool?.release(ticket, on: loop)
            case (nil, .failure): break
            }
        }
    }

    private func searchEnded(_ result: Result<SlotSearch.Slot, Failure>, on loop: isolated Loop) {
        slotDecided(
            result.map { (TunnelSlot.Held(gateway: $0.pool.gateway, ticket: $0.ticket), $0.path) }, on: loop)
    }

    private func slotDecided(_ result: Result<(TunnelSlot.Held, Path), Failure>, on loop: isolated Loop) {
        slot.search = nil
        switch result {
        case .success((let held, let path)):
            slot.held = held
            choose(path)
            let limits = services.transport(of: held.gateway).limits(on: loop)
            run(machine.slotGranted(firstPhase: limits.firstPhase), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    func withdrawFromQueue() {
        slot.search?.cancel()
        slot.search = nil
    }

    /// Gives the slot back, from whatever loop the tunnel lives on.
    func releaseSlot(on loop: isolated Loop) {
        slotRelease?()
        slot.held = nil
    }

    /// What gives the slot back, from any thread; nil if the tunnel holds none.
    var slotRelease: (@Sendable () -> Void)? {
        guard let held = slot.held else { return nil }
        let (pools, control) = (services.pools, services.control)
        return {
            control.submit { loop in pools.get(on: loop).existing(held.gateway)?.release(held.ticket, on: loop) }
        }
    }

    /// The connection to the gateway carries other tunnels as well and keeps the slot.
    func leaveSlot() { slot.held = nil }

    /// The gateway has no room. If no other gateway has, this connection is served next there.
    func queueAgain(on loop: isolated Loop) {
        guard let (pool, ticket) = heldPlace(on: loop), let route else {
            // The open connection takes no more tunnels: this one needs another.
            slot.wasRefusedByCarrier = true
            requestSlot(on: loop)
            return
        }
        slot.held = nil
        guard !handle.request.isWarm else {
            // A warm tunnel takes no turn from those who wait.
            pool.refusedAsFull(ticket, on: loop) { _ in }
            pool.withdraw(ticket)
            close(.noRoom, on: loop)
            return
        }
        slot.search = SlotSearch(
            returning: ticket, to: pool, route.path,
            or: route.alternatives.filter { !slot.failed.contains($0.gateway) }, priority: handle.request.priority,
            key: handle.request.turnKey, pools: services.pools.get(on: loop), on: loop
        ) { [weak self] result in self?.searchEnded(result, on: loop) }
    }

    func blameGateway(_ failure: Failure, on loop: isolated Loop) {
        guard let gateway = slot.held?.gateway ?? route?.path.gateway else { return }
        slot.failed.insert(gateway)
        heldPlace(on: loop)?.pool.failed(failure)
        services.logger.debug(
            "the endpoint fails: \(failure.sentence)",
            metadata: ["endpoint": "\(gateway.id)", "tunnel": "\(handle.name)"])
    }

    // MARK: After the dial

    /// The gateway accepted the tunnel.
    func slotAccepted(on loop: isolated Loop) {
        if let (pool, ticket) = heldPlace(on: loop) { pool.accepted(ticket, on: loop) }
    }

    func announceWarm(on loop: isolated Loop) {
        guard let (pool, ticket) = heldPlace(on: loop) else { return }
        pool.becameWarm(ticket, on: loop) { [weak self] in self?.close(.evicted, on: loop) }
    }

    /// Keeps the warm tunnel's slot for a connection that joins. False if the slot was taken away already.
    func useWarmSlot(on loop: isolated Loop) -> Bool {
        // On a shared connection it has none that could be taken away.
        guard slot.held != nil else { return true }
        return heldPlace(on: loop).map { $0.pool.useWarm($0.ticket) } ?? false
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
        services.control.submit { loop in pools.get(on: loop).existing(held.gateway)?.spoke(held.ticket) }
    }
}
