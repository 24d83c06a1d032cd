import Failures
import SocketIO
import Transport

/// Looks for a slot at any of the gateways that a target can be reached through: the nearest one that would dial at once,
/// else the first one whose queue serves us. Confined to the control loop.
final class SlotSearch {
    /// A slot, to be given back to its pool.
    struct Slot {
        let path: Path
        let pool: GatewayPool
        let ticket: Ticket
    }

    private struct Place {
        let path: Path
        let pool: GatewayPool
        var ticket: Ticket?
    }

    private var places: [Place] = []
    private var completion: ((Result<Slot, Failure>) -> Void)?
    private var refusals = 0

    /// Begins at once; `completion` comes later, once, unless `cancel` comes first.
    ///
    /// - Parameter candidates: nearest first, at least one.
    init(
        _ candidates: [Path], priority: TunnelPriority, key: String, pools: GatewayPools,
        on loop: isolated Loop, completion: @escaping (Result<Slot, Failure>) -> Void
    ) {
        self.completion = completion
        places = Self.choose(Self.places(candidates, pools))
        for index in places.indices { ask(index, priority, key, on: loop) }
    }

    /// Goes on where a slot was granted that turned out to be none: another endpoint that would dial at once is taken instead, else
    /// `ticket` keeps its turn there, beside a place in the queues of all others.
    ///
    /// - Parameter others: nearest first, where there are any.
    init(
        returning ticket: Ticket, to pool: GatewayPool, _ path: Path, or others: [Path],
        priority: TunnelPriority, key: String, pools: GatewayPools, on loop: isolated Loop,
        completion: @escaping (Result<Slot, Failure>) -> Void
    ) {
        self.completion = completion
        let now = ContinuousClock.now
        let others = Self.places(others, pools)
        if let inviting = others.first(where: { $0.pool.isInviting(at: now) }) {
            pool.refusedAsFull(ticket, on: loop) { _ in }
            pool.withdraw(ticket)
            places = [inviting]
            ask(0, priority, key, on: loop)
            return
        }
        places =
            [Place(path: path, pool: pool, ticket: ticket)]
            + others.filter { !$0.pool.isCoolingDown(at: now) }
        pool.refusedAsFull(ticket, on: loop) { [weak self] result in self?.decided(0, result, on: loop) }
        for index in places.indices.dropFirst() { ask(index, priority, key, on: loop) }
    }

    private static func places(_ paths: [Path], _ pools: GatewayPools) -> [Place] {
        paths.map { Place(path: $0, pool: pools.pool($0.gateway, host: $0.host?.host)) }
    }

    private func ask(_ index: Int, _ priority: TunnelPriority, _ key: String, on loop: isolated Loop) {
        places[index].ticket = places[index].pool.request(priority: priority, key: key, on: loop) {
            [weak self] result in self?.decided(index, result, on: loop)
        }
    }

    /// One that invites us is enough; where none does we wait for all that do not fail, and where all of them failed lately
    /// a try is better than none.
    private static func choose(_ all: [Place]) -> [Place] {
        let now = ContinuousClock.now
        if let inviting = all.first(where: { $0.pool.isInviting(at: now) }) { return [inviting] }
        let sound = all.filter { !$0.pool.isCoolingDown(at: now) }
        return sound.isEmpty ? all : sound
    }

    /// Waits no longer. Harmless when it is over.
    func cancel() {
        completion = nil
        withdraw(but: nil)
    }

    private func decided(_ index: Int, _ result: Result<Void, Failure>, on loop: isolated Loop) {
        guard let completion, let ticket = places[index].ticket else { return }
        let place = places[index]
        places[index].ticket = nil
        switch result {
        case .success:
            self.completion = nil
            withdraw(but: index)
            completion(.success(Slot(path: place.path, pool: place.pool, ticket: ticket)))
        case .failure(let failure):
            refusals += 1
            guard refusals == places.count else { return }
            self.completion = nil
            completion(.failure(failure))
        }
    }

    private func withdraw(but chosen: Int?) {
        for (index, place) in places.enumerated() where index != chosen {
            if let ticket = place.ticket { place.pool.withdraw(ticket) }
            places[index].ticket = nil
        }
    }
}
