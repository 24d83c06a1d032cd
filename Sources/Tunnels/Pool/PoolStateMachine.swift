import SocketIO

/// Decides who gets an endpoint's slots. Pure: requests in, decisions out, time and chance as arguments;
/// ``GatewayPool`` is its shell. Benchmarks time it alone, hence `package`.
package struct PoolStateMachine {
    package enum Decision: Equatable {
        case grant(Ticket)
        /// The queue is full.
        case refuse(Ticket)
        /// A warm tunnel, or one whose client has sent nothing, is to be closed: someone needs its slot.
        case evict(Ticket)
    }

    private enum Use { case dialing, open, silent, warm, evicted }

    private struct Holder {
        var waiter: FairQueue.Waiter
        var use: Use
    }

    private(set) var cap: AdaptiveCap
    private var queue = FairQueue()
    private var holders: [Ticket: Holder] = [:]
    /// Warm tunnels, the oldest first: it is the first that would be closed anyway.
    private var warm: [Ticket] = []
    /// Open tunnels whose clients have sent nothing yet, those first that have been so the longest.
    private var silent: [(ticket: Ticket, since: ContinuousClock.Instant)] = []
    private var evicted = 0
    private var open = 0
    /// How many may wait; those that do already stay. Interactive ones are turned away only by as many of their own kind.
    var queueLength: Int
    /// How long a client may send nothing before its slot can be given to an interactive tunnel. SSH and RDP clients begin at once
    /// (RFC 4253, section 4.2; MS-RDPBCGR, section 1.3.1.1).
    private let patience: Duration
    package static let patience = Duration.seconds(3)
    /// Slots that other processes of ours hold, whose ends we are told of.
    private(set) var taken = 0

    /// - Parameters:
    ///   - cap: slots that may be in use at once, at least 1.
    ///   - queueLength: how many may wait.
    ///   - patience: how long a client may send nothing while an interactive tunnel waits.
    package init(cap: Int, queueLength: Int, patience: Duration = Self.patience) {
        self.patience = patience
        self.cap = AdaptiveCap(cap)
        self.queueLength = queueLength
    }

    var inUse: Int { holders.count }
    var queued: Int { queue.count }
    var warmCount: Int { warm.count }

    /// Whether a request would be granted at once.
    var hasFreeSlot: Bool { queue.isEmpty && hasRoom && cap.notBefore == nil }

    private var hasRoom: Bool { holders.count + taken < cap.effective }

    /// Gives back the room that those who held slots left in lists.
    mutating func giveBackRoom(at now: ContinuousClock.Instant) {
        holders.giveBackRoom()
        cap.giveBackRoom(at: now)
    }

    /// Someone wants a slot: it is granted, or he waits (and a warm tunnel is evicted for him), or the queue is full.
    package mutating func request(_ waiter: FairQueue.Waiter, at now: ContinuousClock.Instant) -> [Decision] {
        cap.tick(at: now)
        if hasFreeSlot {
            holders[waiter.ticket] = Holder(waiter: waiter, use: .dialing)
            return [.grant(waiter.ticket)]
        }
        let ahead = waiter.priority == .interactive ? queue.interactiveCount : queue.count
        guard ahead < queueLength else { return [.refuse(waiter.ticket)] + serve(at: now) }
        queue.append(waiter)
        return serve(at: now)
    }

    /// Someone wants a slot for a tunnel that nobody uses yet: granted only if nobody else could want it.
    mutating func requestWarm(_ waiter: FairQueue.Waiter, at now: ContinuousClock.Instant) -> [Decision] {
        cap.tick(at: now)
        guard hasFreeSlot else { return [.refuse(waiter.ticket)] + serve(at: now) }
        holders[waiter.ticket] = Holder(waiter: waiter, use: .dialing)
        return [.grant(waiter.ticket)]
    }

    /// Someone waits no longer. Harmless for a ticket that does not wait.
    mutating func withdraw(_ ticket: Ticket) { queue.remove(ticket) }

    /// The endpoint accepted the connection.
    package mutating func accepted(_ ticket: Ticket, at now: ContinuousClock.Instant) -> [Decision] {
        guard setUse(of: ticket, to: .open, from: [.dialing]) else { return [] }
        cap.accepted(open: open + taken, at: now)
        cap.tick(at: now)
        return serve(at: now)
    }

    /// The tunnel is open and waits for its first connection.
    mutating func becameWarm(_ ticket: Ticket, at now: ContinuousClock.Instant) -> [Decision] {
        guard setUse(of: ticket, to: .warm, from: [.open]) else { return [] }
        cap.tick(at: now)
        return serve(at: now)
    }

    /// A warm tunnel found its connection. False when it was just given up: its slot is promised to someone else.
    mutating func useWarm(_ ticket: Ticket) -> Bool { setUse(of: ticket, to: .open, from: [.warm]) }

    /// The tunnel is open, and its client has sent nothing yet.
    mutating func becameSilent(_ ticket: Ticket, at now: ContinuousClock.Instant) -> [Decision] {
        guard setUse(of: ticket, to: .silent, from: [.open]) else { return [] }
        silent.append((ticket, now))
        cap.tick(at: now)
        return serve(at: now)
    }

    /// Its client has sent something: it keeps its slot, unless that was just promised to someone else.
    mutating func spoke(_ ticket: Ticket) { _ = setUse(of: ticket, to: .open, from: [.silent]) }

    /// A slot came back. Harmless for one that came back before.
    package mutating func release(_ ticket: Ticket, at now: ContinuousClock.Instant) -> [Decision] {
        guard let holder = remove(ticket) else { return [] }
        if holder.use != .dialing { cap.closed(at: now) }
        cap.tick(at: now)
        return serve(at: now)
    }

    /// The endpoint refused a dial since it is full: the slot is back, and who had it is the next to be served.
    ///
    /// - Parameter jitter: 0..<1.
    mutating func refusedAsFull(_ ticket: Ticket, jitter: Double, at now: ContinuousClock.Instant) -> [Decision] {
        guard let holder = remove(ticket) else { return [] }
        cap.tick(at: now)
        cap.refused(open: open + taken, jitter: jitter, at: now)
        queue.prepend(holder.waiter)
        return serve(at: now)
    }

    /// Another configured cap. Slots above a lower one stay until they come back.
    mutating func setCap(_ limit: Int, at now: ContinuousClock.Instant) -> [Decision] {
        cap.configure(limit)
        cap.tick(at: now)
        return serve(at: now)
    }

    /// So many slots are held by other processes of ours now.
    mutating func setTaken(_ count: Int, at now: ContinuousClock.Instant) -> [Decision] {
        if count < taken { for _ in count..<taken { cap.closed(at: now) } }
        taken = count
        cap.tick(at: now)
        return serve(at: now)
    }

    /// Time has passed: see ``nextWake``.
    mutating func tick(at now: ContinuousClock.Instant) -> [Decision] {
        cap.tick(at: now)
        return serve(at: now)
    }

    /// When `tick` has something to do; nil when only an event can.
    var nextWake: ContinuousClock.Instant? {
        let pause = queue.isEmpty ? nil : cap.notBefore
        let eviction = needsSilent ? silent.first.map { $0.since + patience } : nil
        return [pause, cap.riseAt, eviction].compactMap { $0 }.min()
    }

    /// An interactive tunnel waits for a slot that is not being given up already.
    private var needsSilent: Bool { queue.interactiveCount > evicted && !hasRoom }

    private mutating func serve(at now: ContinuousClock.Instant) -> [Decision] {
        var decisions: [Decision] = []
        while cap.notBefore == nil, hasRoom, let waiter = queue.popFirst() {
            holders[waiter.ticket] = Holder(waiter: waiter, use: .dialing)
            decisions.append(.grant(waiter.ticket))
        }
        // A slot that is being given up already serves one who waits.
        while queue.count > evicted, let oldest = warm.first {
            _ = setUse(of: oldest, to: .evicted, from: [.warm])
            decisions.append(.evict(oldest))
        }
        while needsSilent, let oldest = silent.first, oldest.since + patience <= now {
            _ = setUse(of: oldest.ticket, to: .evicted, from: [.silent])
            decisions.append(.evict(oldest.ticket))
        }
        return decisions
    }

    private mutating func setUse(of ticket: Ticket, to use: Use, from allowed: [Use]) -> Bool {
        guard let holder = holders[ticket], allowed.contains(holder.use) else { return false }
        count(holder.use, ticket, -1)
        holders[ticket]?.use = use
        count(use, ticket, 1)
        return true
    }

    private mutating func remove(_ ticket: Ticket) -> Holder? {
        guard let holder = holders.removeValue(forKey: ticket) else { return nil }
        count(holder.use, ticket, -1)
        return holder
    }

    private mutating func count(_ use: Use, _ ticket: Ticket, _ change: Int) {
        if use != .dialing { open += change }
        if use == .evicted { evicted += change }
        if use == .silent, change < 0 { silent.removeAll { $0.ticket == ticket } }
        guard use == .warm else { return }
        if change > 0 { warm.append(ticket) } else { warm.removeAll { $0 == ticket } }
    }
}
