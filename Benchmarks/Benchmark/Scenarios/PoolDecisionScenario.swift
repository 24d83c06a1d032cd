import TestSupport
import Tunnels

/// How long the pool takes to decide: no sockets, no loop, the state machine alone.
struct PoolDecisionScenario: Scenario {
    static let name = "pool-decision"
    static let summary = "time of one decision of the pool with 5,000 tunnels"

    private static let rounds = 20_000

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        var table = ReportTable(
            "One decision of the pool", columns: ["a decision"],
            notes: [
                "A round gives a slot back, which a waiter gets, tells that his connection was accepted, and lets the next one ask:",
                "three decisions. Medians of \(settings.pairs) times \(Self.rounds) rounds.",
            ])
        for (name, pools, slots, waiting) in [
            ("100 tunnels, 5 pools of 20", 5, 20, 20), ("5,000 tunnels, 250 pools of 20", 250, 20, 20),
            ("5,000 tunnels and 5,000 waiters, one pool", 1, 5_000, 5_000),
        ] {
            var load = PoolLoad(pools: pools, slots: slots, waiting: waiting)
            _ = load.run(rounds: Self.rounds)
            let lengths = (0..<settings.pairs).map { _ in load.run(rounds: Self.rounds) / (3 * Self.rounds) }
            let figure = Samples(lengths, per: .microseconds(1)).figure(.microseconds)
            table.add(name, figure.atMost(5))
        }
        return [table]
    }
}

/// Pools that are full, with a queue before each.
private struct PoolLoad {
    private var machines: [PoolStateMachine] = []
    /// By pool: who holds a slot, the longest first.
    private var holders: [[Ticket]] = []
    private var turns: [Int]
    private var random = SeededGenerator(seed: 20)
    private var last: UInt64 = 0
    private let slots: Int

    init(pools: Int, slots: Int, waiting: Int) {
        self.slots = slots
        turns = [Int](repeating: 0, count: pools)
        let now = ContinuousClock.now
        for _ in 0..<pools {
            var machine = PoolStateMachine(cap: slots, queueLength: waiting + 1)
            var open: [Ticket] = []
            for _ in 0..<(slots + waiting) {
                for case .grant(let ticket) in machine.request(nextWaiter(), at: now) {
                    _ = machine.accepted(ticket, at: now)
                    open.append(ticket)
                }
            }
            machines.append(machine)
            holders.append(open)
        }
    }

    private mutating func nextWaiter() -> FairQueue.Waiter {
        last += 1
        return FairQueue.Waiter(
            ticket: Ticket(number: last), priority: last % 4 == 0 ? .interactive : .normal,
            key: "forward f\(last % 250)")
    }

    /// Returns how long all rounds took.
    mutating func run(rounds: Int) -> Duration {
        let start = ContinuousClock.now
        var now = start
        for _ in 0..<rounds {
            let pool = Int.random(in: 0..<machines.count, using: &random)
            let turn = turns[pool]
            turns[pool] = (turn + 1) % slots
            // Closes of five seconds are remembered; a round a millisecond keeps that at what a busy pool has.
            now += .milliseconds(1)
            for case .grant(let ticket) in machines[pool].release(holders[pool][turn], at: now) {
                _ = machines[pool].accepted(ticket, at: now)
                holders[pool][turn] = ticket
            }
            _ = machines[pool].request(nextWaiter(), at: now)
        }
        return start.duration(to: .now)
    }
}
