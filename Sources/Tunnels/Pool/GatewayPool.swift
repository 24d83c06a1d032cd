import Basics
import Failures
import SocketIO
import Transport

/// One gateway's slots and queue. Confined to the control loop.
public final class GatewayPool {
    typealias Completion = (Result<Void, Failure>) -> Void

    public let gateway: Gateway
    /// The gateway's host name that was dialed last, if it has one.
    public internal(set) var host: String?
    /// The gateway's own last failure.
    public internal(set) var lastFailure: Failure?
    /// Since when the service has refused more than ``effectiveCap``.
    public private(set) var refusedSince: WallTime?

    /// Since the daemon began: connections that found no free slot, those that were turned away since the queue was full,
    /// and dials that the service refused since the endpoint was full.
    public private(set) var totals = (waited: 0, turnedAway: 0, refusedAsFull: 0)

    /// Whether the gateway has as many slots as anybody asks for.
    public let isUnlimited: Bool
    /// More tunnels than a process can have.
    private static let unlimited = Int(Int32.max)

    private var machine: PoolStateMachine
    private var coolDown = CoolDown()
    private var waiting: [Ticket: Completion] = [:]
    private var evictions: [Ticket: () -> Void] = [:]
    private var wake: Deadline?
    private let tickets: TicketCounter
    /// Told when someone has to wait, once for each time that happens, and when ``inUse`` has changed.
    private weak var pools: GatewayPools?
    private var saidFull = false
    private var told = 0

    init(
        _ gateway: Gateway, host: String?, cap: Int?, queueLength: Int, patience: Duration, tickets: TicketCounter,
        pools: GatewayPools
    ) {
        self.gateway = gateway
        self.host = host
        self.tickets = tickets
        self.pools = pools
        isUnlimited = cap == nil
        machine = PoolStateMachine(
            cap: cap ?? Self.unlimited, queueLength: queueLength, patience: patience)
    }

    /// The configured cap.
    public var cap: Int { machine.cap.configured }
    /// What the service takes from us at present.
    public var effectiveCap: Int { machine.cap.effective }
    public var inUse: Int { machine.inUse }
    /// Slots of it that earlier processes hold, which have handed over and drain.
    public var taken: Int { machine.taken }
    public var queued: Int { machine.queued }
    public var warm: Int { machine.warmCount }

    /// No connection holds a slot of it or waits for one.
    var isAtRest: Bool { inUse == 0 && taken == 0 && queued == 0 && waiting.isEmpty }

    /// A dial would begin at once, and the endpoint is not known to fail.
    func isInviting(at now: ContinuousClock.Instant) -> Bool { machine.hasFreeSlot && !isCoolingDown(at: now) }

    /// The endpoint failed lately: others are tried first.
    public func isCoolingDown(at now: ContinuousClock.Instant) -> Bool { coolDown.isOn(at: now) }

    // MARK: Slots

    /// Asks for a slot. `completion` comes once, not before this returns: when a slot is free, or at once with a
    /// refusal where the queue is full; never after `withdraw`. Who got the slot gives it back with `release`.
    func request(
        priority: TunnelPriority, key: String, on loop: isolated Loop, completion: @escaping Completion
    ) -> Ticket {
        let waiter = FairQueue.Waiter(ticket: tickets.next(), priority: priority, key: key)
        waiting[waiter.ticket] = completion
        let decisions = machine.request(waiter, at: .now)
        if decisions.contains(.refuse(waiter.ticket)) {
            totals.turnedAway += 1
        } else if !decisions.contains(.grant(waiter.ticket)) {
            totals.waited += 1
        }
        run(decisions, on: loop)
        return waiter.ticket
    }

    /// Asks for a slot that nobody needs yet; refused unless one is idle.
    func requestWarm(key: String, on loop: isolated Loop, completion: @escaping Completion) -> Ticket {
        let waiter = FairQueue.Waiter(ticket: tickets.next(), priority: .normal, key: key)
        waiting[waiter.ticket] = completion
        run(machine.requestWarm(waiter, at: .now), on: loop)
        return waiter.ticket
    }

    func withdraw(_ ticket: Ticket) {
        waiting[ticket] = nil
        machine.withdraw(ticket)
    }

    /// The endpoint accepted the connection that holds `ticket`.
    func accepted(_ ticket: Ticket, on loop: isolated Loop) {
        coolDown.end()
        run(machine.accepted(ticket, at: .now), on: loop)
    }

    func release(_ ticket: Ticket, on loop: isolated Loop) {
        evictions[ticket] = nil
        run(machine.release(ticket, at: .now), on: loop)
    }

    /// The endpoint refused since it is full: the slot is back, and `completion` comes when there is another.
    func refusedAsFull(_ ticket: Ticket, on loop: isolated Loop, completion: @escaping Completion) {
        waiting[ticket] = completion
        totals.refusedAsFull += 1
        run(machine.refusedAsFull(ticket, jitter: .random(in: 0..<1), at: .now), on: loop)
    }

    /// The endpoint itself failed: not for lack of room.
    func failed(_ failure: Failure) {
        lastFailure = failure
        coolDown.begin(at: .now, jitter: .random(in: 0..<1))
    }

    // MARK: Warm tunnels

    /// The tunnel of `ticket` is open and unused. `evict` is called when someone needs its slot.
    func becameWarm(_ ticket: Ticket, on loop: isolated Loop, evict: @escaping () -> Void) {
        evictions[ticket] = evict
        run(machine.becameWarm(ticket, at: .now), on: loop)
    }

    /// False when the tunnel was just given up.
    func useWarm(_ ticket: Ticket) -> Bool {
        guard machine.useWarm(ticket) else { return false }
        evictions[ticket] = nil
        return true
    }

    // MARK: Silent tunnels

    /// The tunnel of `ticket` is open, and its client has sent nothing. `evict` is called when an interactive tunnel needs its slot.
    func becameSilent(_ ticket: Ticket, on loop: isolated Loop, evict: @escaping () -> Void) {
        evictions[ticket] = evict
        run(machine.becameSilent(ticket, at: .now), on: loop)
    }

    /// Its client has sent something.
    func spoke(_ ticket: Ticket) {
        machine.spoke(ticket)
        evictions[ticket] = nil
    }

    /// Gives back the room that those who held slots left in lists.
    func giveBackRoom() {
        machine.giveBackRoom(at: .now)
        waiting.giveBackRoom()
        evictions.giveBackRoom()
    }

    // MARK: Limits

    func apply(cap: Int, queueLength: Int, on loop: isolated Loop) {
        machine.queueLength = queueLength
        run(isUnlimited ? [] : machine.setCap(cap, at: .now), on: loop)
    }

    func setTaken(_ count: Int, on loop: isolated Loop) {
        guard count != taken else { return }
        run(machine.setTaken(count, at: .now), on: loop)
    }

    private func run(_ decisions: [PoolStateMachine.Decision], on loop: isolated Loop) {
        if told != inUse {
            told = inUse
            pools?.onUse?()
        }
        for decision in decisions {
            switch decision {
            case .grant(let ticket): grant(ticket, on: loop)
            case .refuse(let ticket): refuse(ticket, on: loop)
            case .evict(let ticket):
                let evict = evictions.removeValue(forKey: ticket)
                if let evict { loop.soon(evict) }
            }
        }
        noteRefusal()
        noteFull()
        scheduleWake(on: loop)
    }

    /// Not from within the call that decided: completions dial, fail, and ask again.
    private func grant(_ ticket: Ticket, on loop: isolated Loop) {
        loop.soon { [self] in
            guard let completion = waiting.removeValue(forKey: ticket) else {
                // Withdrawn meanwhile.
                release(ticket, on: loop)
                return
            }
            completion(.success(()))
        }
    }

    private func refuse(_ ticket: Ticket, on loop: isolated Loop) {
        let failure = Failure(
            .endpointFull, "\(gateway.id) is full",
            why: "\(inUse + taken) of \(effectiveCap) slots are in use and \(queued) connections wait already",
            hint: "see who holds the slots: eicectl status")
        loop.soon { [self] in waiting.removeValue(forKey: ticket)?(.failure(failure)) }
    }

    private func noteFull() {
        if queued == 0 {
            saidFull = false
        } else if !saidFull {
            saidFull = true
            pools?.onFull?(self)
        }
    }

    private func noteRefusal() {
        if machine.cap.refusedSince == nil {
            refusedSince = nil
        } else if refusedSince == nil {
            refusedSince = .now()
        }
    }

    private func scheduleWake(on loop: isolated Loop) {
        if let wake { loop.cancel(wake) }
        wake = machine.nextWake.map { instant in
            loop.schedule(at: instant) { [weak self] in
                guard let self else { return }
                wake = nil
                run(machine.tick(at: .now), on: loop)
            }
        }
    }
}

/// Numbers tickets over all pools, since one tunnel may wait in several queues.
final class TicketCounter {
    private var last: UInt64 = 0

    func next() -> Ticket {
        last += 1
        return Ticket(number: last)
    }
}
