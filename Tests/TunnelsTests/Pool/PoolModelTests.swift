import TestSupport
import Testing

@testable import Tunnels

/// Random sequences of events against a model that knows only the promises, not how they are kept.
@Suite struct PoolModelTests {
    @Test(arguments: 0..<40)
    func randomSequencesKeepEveryPromise(seed: UInt64) {
        var model = PoolModel(seed: seed)
        for _ in 0..<1_000 { model.step() }
        model.drain()
        #expect(model.violations.isEmpty, "seed \(seed): \(model.violations.prefix(3))")
    }
}

private struct PoolModel {
    private enum Stage { case waiting, dialing, open, silent, warm, evicted, over }

    private static let patience = Duration.seconds(10)

    private var random: SeededGenerator
    private var machine: PoolStateMachine
    private var now = ContinuousClock.now
    private var stages: [Ticket: Stage] = [:]
    private var answers: [Ticket: Int] = [:]
    private var interactive: Set<Ticket> = []
    /// Since when the clients of silent tunnels have sent nothing.
    private var silentSince: [Ticket: ContinuousClock.Instant] = [:]
    private var turns = TurnModel()
    private var next: UInt64 = 1
    private let limit: Int
    /// What another user of the endpoint leaves to us.
    private var room: Int
    private(set) var violations: [String] = []

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        limit = Int.random(in: 1...20, using: &random)
        room = limit
        machine = PoolStateMachine(cap: limit, queueLength: 30, patience: Self.patience)
    }

    private func tickets(_ stage: Stage) -> [Ticket] {
        stages.filter { $0.value == stage }.map(\.key).sorted { $0.number < $1.number }
    }

    private mutating func pick(_ stage: Stage) -> Ticket? { tickets(stage).randomElement(using: &random) }

    mutating func step() {
        now = now.advanced(by: .milliseconds(Int.random(in: 0...400, using: &random)))
        if let wake = machine.nextWake, wake <= now { apply(machine.tick(at: now)) { _ in } }
        switch Int.random(in: 0..<14, using: &random) {
        case 0...3: request()
        case 4: requestWarm()
        case 5: if let ticket = pick(.waiting) { withdraw(ticket) }
        case 6...7: if let ticket = pick(.dialing) { endDial(ticket) }
        case 8: if let ticket = pick(.open) { apply(machine.becameWarm(ticket, at: now)) { $0[ticket] = .warm } }
        case 9:
            if let ticket = pick(.warm) {
                expect(machine.useWarm(ticket), "a warm tunnel that was not evicted cannot be used")
                stages[ticket] = .open
            }
        case 10:
            if let ticket = [pick(.open), pick(.evicted), pick(.warm), pick(.silent)].compactMap({ $0 }).first {
                release(ticket)
            }
        case 11:
            if let ticket = pick(.open) {
                silentSince[ticket] = now
                apply(machine.becameSilent(ticket, at: now)) { $0[ticket] = .silent }
            }
        case 12:
            if let ticket = pick(.silent) {
                machine.spoke(ticket)
                stages[ticket] = .open
            }
        default:
            if Bool.random(using: &random) { room = Int.random(in: 0...limit, using: &random) }
            apply(machine.tick(at: now)) { _ in }
        }
        check()
    }

    private mutating func waiter() -> FairQueue.Waiter {
        defer { next += 1 }
        return FairQueue.Waiter(
            ticket: Ticket(number: next), priority: Bool.random(using: &random) ? .interactive : .normal,
            key: "f\(Int.random(in: 0..<4, using: &random))")
    }

    private mutating func request() {
        let waiter = waiter()
        turns.comes(waiter)
        if waiter.priority == .interactive { interactive.insert(waiter.ticket) }
        apply(machine.request(waiter, at: now)) { $0[waiter.ticket] = .waiting }
    }

    private mutating func requestWarm() {
        let waiter = waiter()
        let othersWait = machine.queued > 0
        turns.comes(waiter)
        apply(machine.requestWarm(waiter, at: now)) { $0[waiter.ticket] = .waiting }
        if othersWait { expect(stages[waiter.ticket] == .over, "a warm tunnel got a slot before those who wait") }
    }

    private mutating func withdraw(_ ticket: Ticket) {
        machine.withdraw(ticket)
        turns.leaves(ticket)
        stages[ticket] = .over
    }

    /// The service decides by what is open, ours and others'.
    private mutating func endDial(_ ticket: Ticket) {
        let open = [Stage.open, .silent, .warm, .evicted].map { tickets($0).count }.reduce(0, +)
        if open < room {
            apply(machine.accepted(ticket, at: now)) { $0[ticket] = .open }
        } else if Bool.random(using: &random) {
            let jitter = Double.random(in: 0..<1, using: &random)
            answers[ticket] = 0
            turns.comesBack(ticket)
            apply(machine.refusedAsFull(ticket, jitter: jitter, at: now)) { $0[ticket] = .waiting }
        } else {
            release(ticket)
        }
    }

    private mutating func release(_ ticket: Ticket) {
        apply(machine.release(ticket, at: now)) { $0[ticket] = .over }
        // The second time is harmless.
        expect(machine.release(ticket, at: now).isEmpty, "a slot came back twice")
    }

    /// - Parameter change: what the event did to its own ticket, before its decisions.
    private mutating func apply(
        _ decisions: [PoolStateMachine.Decision], _ change: (inout [Ticket: Stage]) -> Void
    ) {
        change(&stages)
        for decision in decisions {
            switch decision {
            case .grant(let ticket):
                expect(stages[ticket] == .waiting, "granted to one who does not wait")
                violations += turns.isServed(ticket)
                answers[ticket, default: 0] += 1
                stages[ticket] = .dialing
            case .refuse(let ticket):
                expect(stages[ticket] == .waiting, "refused one who does not wait")
                turns.leaves(ticket)
                answers[ticket, default: 0] += 1
                stages[ticket] = .over
            case .evict(let ticket):
                let isLongSilent =
                    stages[ticket] == .silent && silentSince[ticket].map { $0 + Self.patience <= now } == true
                expect(stages[ticket] == .warm || isLongSilent, "evicted a tunnel that is of use")
                if isLongSilent { expect(interactiveWaiters > 0, "evicted a client for nobody") }
                stages[ticket] = .evicted
            }
        }
    }

    private mutating func check() {
        let held = [Stage.dialing, .open, .silent, .warm, .evicted].map { tickets($0).count }.reduce(0, +)
        expect(held == machine.inUse, "the slots in use are not those that are held")
        expect(held <= limit, "more slots in use than there are")
        expect(tickets(.waiting).count == machine.queued, "a waiter was forgotten")
        expect(answers.values.allSatisfy { $0 <= 1 }, "answered twice")
        expect(machine.cap.effective >= 1, "the cap fell below 1")
        if machine.queued > 0 {
            expect(
                tickets(.warm).isEmpty || tickets(.evicted).count >= machine.queued,
                "a warm tunnel is held while someone waits")
            let mayServe = machine.cap.notBefore == nil && held < machine.cap.effective
            expect(!mayServe, "someone waits beside a free slot")
            let isOverdue = tickets(.silent).contains { silentSince[$0].map { $0 + Self.patience <= now } == true }
            expect(
                !isOverdue || held < machine.cap.effective || interactiveWaiters <= tickets(.evicted).count,
                "an interactive tunnel waits for a client that sends nothing")
            expect(held > 0 || machine.nextWake != nil, "nothing will ever serve those who wait")
        }
    }

    private var interactiveWaiters: Int { tickets(.waiting).count { interactive.contains($0) } }

    /// Everybody else leaves, time passes, and all who wait are served.
    mutating func drain() {
        room = limit
        for _ in 0..<2_000 where !(tickets(.waiting).isEmpty && machine.inUse == 0) {
            now = now.advanced(by: .seconds(1))
            apply(machine.tick(at: now)) { _ in }
            for ticket in tickets(.dialing) { apply(machine.accepted(ticket, at: now)) { $0[ticket] = .open } }
            for stage in [Stage.open, .silent, .warm, .evicted] { for ticket in tickets(stage) { release(ticket) } }
            check()
        }
        expect(tickets(.waiting).isEmpty, "someone was never served")
        expect(machine.inUse == 0, "a slot was lost")
    }

    private mutating func expect(_ condition: Bool, _ promise: String) {
        if !condition { violations.append(promise) }
    }
}
