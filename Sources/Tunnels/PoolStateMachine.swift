import Failures

/// Decides who gets an endpoint's slots. Pure: tickets in, grants out; ``EndpointPool`` is its shell.
struct PoolStateMachine {
    struct Ticket: Hashable {
        let number: UInt64
    }

    enum Decision: Equatable {
        case grant(Ticket)
        /// The queue is full.
        case refuse(Ticket)
    }

    private(set) var cap: Int
    private(set) var inUse = 0
    /// Those who wait, in the order they came.
    private var queue: [Ticket] = []
    private let queueLength: Int

    /// - Parameters:
    ///   - cap: slots that may be in use at once, at least 1.
    ///   - queueLength: how many may wait.
    init(cap: Int, queueLength: Int) {
        precondition(cap >= 1 && queueLength >= 0)
        self.cap = cap
        self.queueLength = queueLength
    }

    var queued: Int { queue.count }

    /// Someone wants a slot: it is granted, or he waits (no decision), or the queue is full.
    mutating func request(_ ticket: Ticket) -> [Decision] {
        if queue.isEmpty, inUse < cap {
            inUse += 1
            return [.grant(ticket)]
        }
        guard queue.count < queueLength else { return [.refuse(ticket)] }
        queue.append(ticket)
        return []
    }

    /// Someone waits no longer. Harmless for a ticket that does not wait.
    mutating func withdraw(_ ticket: Ticket) {
        queue.removeAll { $0 == ticket }
    }

    /// A slot came back.
    mutating func release() -> [Decision] {
        precondition(inUse > 0, "a slot came back twice")
        inUse -= 1
        return serve()
    }

    /// Another cap from now on. Slots above a lower one stay until they come back.
    mutating func setCap(_ cap: Int) -> [Decision] {
        precondition(cap >= 1)
        self.cap = cap
        return serve()
    }

    private mutating func serve() -> [Decision] {
        var decisions: [Decision] = []
        while inUse < cap, !queue.isEmpty {
            inUse += 1
            decisions.append(.grant(queue.removeFirst()))
        }
        return decisions
    }
}
