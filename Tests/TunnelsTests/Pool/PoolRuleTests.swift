import Testing

@testable import Tunnels

/// Rules of an endpoint's slots that show only over several events.
@Suite struct PoolRuleTests {
    private let start = ContinuousClock.now

    private func ticket(_ number: UInt64) -> Ticket { Ticket(number: number) }

    private func waiter(_ number: UInt64, _ priority: TunnelPriority = .normal, key: String = "f") -> FairQueue.Waiter {
        FairQueue.Waiter(ticket: ticket(number), priority: priority, key: key)
    }

    /// A pool with `count` accepted tunnels, numbered from 1.
    private func pool(cap: Int = 20, open count: UInt64) -> PoolStateMachine {
        var pool = PoolStateMachine(cap: cap, queueLength: 5)
        for number in 0..<count {
            _ = pool.request(waiter(number + 1), at: start)
            _ = pool.accepted(ticket(number + 1), at: start)
        }
        return pool
    }

    // MARK: What excuses a refusal

    @Test("a slot that another process gives back excuses one refusal")
    func slotOfAnotherProcess() {
        var pool = PoolStateMachine(cap: 20, queueLength: 5)
        _ = pool.setTaken(3, at: start)
        _ = pool.request(waiter(1), at: start)
        _ = pool.setTaken(2, at: start)
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start)
        #expect(pool.cap.effective == 20)
        #expect(pool.tick(at: start + .milliseconds(250)) == [.grant(ticket(1))])
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start + .milliseconds(250))
        #expect(pool.cap.effective == 2, "one slot excuses one refusal")
    }

    @Test("two slots that another process gives back at once excuse two refusals")
    func twoSlotsOfAnotherProcess() {
        var pool = PoolStateMachine(cap: 20, queueLength: 5)
        _ = pool.setTaken(5, at: start)
        for number: UInt64 in 1...2 { _ = pool.request(waiter(number), at: start) }
        _ = pool.setTaken(3, at: start)
        for number: UInt64 in 1...2 { _ = pool.refusedAsFull(ticket(number), jitter: 0, at: start) }
        #expect(pool.cap.effective == 20)
    }

    @Test("slots that another process takes excuse nothing")
    func slotsTaken() {
        var pool = PoolStateMachine(cap: 20, queueLength: 5)
        _ = pool.request(waiter(1), at: start)
        _ = pool.setTaken(3, at: start)
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start)
        #expect(pool.cap.effective == 3)
    }

    @Test("a tunnel of ours that ended excuses a refusal, a failed dial does not")
    func failedDialExcusesNothing() {
        var ended = pool(open: 3)
        _ = ended.request(waiter(4), at: start)
        _ = ended.release(ticket(1), at: start)
        _ = ended.refusedAsFull(ticket(4), jitter: 0, at: start)
        #expect(ended.cap.effective == 20)

        var failed = pool(open: 2)
        for number: UInt64 in 3...4 { _ = failed.request(waiter(number), at: start) }
        _ = failed.release(ticket(3), at: start)
        _ = failed.refusedAsFull(ticket(4), jitter: 0, at: start)
        #expect(failed.cap.effective == 2)
    }

    @Test("a refused warm tunnel counts the warm tunnels that are open")
    func warmTunnelsAreOpen() {
        var pool = pool(open: 2)
        _ = pool.becameWarm(ticket(2), at: start)
        _ = pool.request(waiter(3), at: start)
        _ = pool.refusedAsFull(ticket(3), jitter: 0, at: start)
        #expect(pool.cap.effective == 2)
    }

    @Test("the tunnels of another process count towards a successful step")
    func stepWithTakenSlots() {
        var pool = PoolStateMachine(cap: 20, queueLength: 5)
        _ = pool.setTaken(4, at: start)
        _ = pool.request(waiter(1), at: start)
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start)
        #expect(pool.cap.effective == 4)
        #expect(pool.tick(at: start + .seconds(5)) == [.grant(ticket(1))])
        _ = pool.accepted(ticket(1), at: start + .seconds(5))
        #expect(pool.cap.effective == 6, "five fit, so a sixth is tried at once")
    }

    // MARK: Who is served

    @Test("a withdrawn waiter leaves the queue and its place in it")
    func withdrawnWaiter() {
        var pool = PoolStateMachine(cap: 1, queueLength: 1)
        for number: UInt64 in 1...2 { _ = pool.request(waiter(number), at: start) }
        #expect(pool.request(waiter(3), at: start) == [.refuse(ticket(3))])
        pool.withdraw(ticket(2))
        #expect(pool.request(waiter(4), at: start) == [])
        #expect(pool.release(ticket(1), at: start) == [.grant(ticket(4))])
    }

    @Test("a request does not overtake the waiters while a pause lasts")
    func requestDuringAPause() {
        var pool = PoolStateMachine(cap: 4, queueLength: 5)
        _ = pool.request(waiter(1), at: start)
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start)
        #expect(!pool.hasFreeSlot)
        #expect(pool.request(waiter(2), at: start + .milliseconds(499)) == [])
        #expect(pool.requestWarm(waiter(3), at: start + .milliseconds(499)) == [.refuse(ticket(3))])
        #expect(pool.request(waiter(4), at: start + .milliseconds(500)) == [.grant(ticket(1))])
    }

    @Test("a pause outlasts the connection that it began with")
    func pauseWithAnEmptyQueue() {
        var pool = PoolStateMachine(cap: 4, queueLength: 5)
        _ = pool.request(waiter(1), at: start)
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start)
        pool.withdraw(ticket(1))
        #expect(!pool.hasFreeSlot)
        #expect(pool.request(waiter(2), at: start + .milliseconds(100)) == [])
        #expect(pool.tick(at: start + .milliseconds(500)) == [.grant(ticket(2))])
    }

    @Test("the pool wakes for a pause only while a connection waits")
    func wakeForAPause() {
        var pool = PoolStateMachine(cap: 4, queueLength: 5)
        #expect(pool.nextWake == nil)
        _ = pool.request(waiter(1), at: start)
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start)
        #expect(pool.nextWake == start + .milliseconds(500))
        pool.withdraw(ticket(1))
        #expect(pool.nextWake == start + .seconds(5), "the next step up of the cap")
    }

    @Test("a tunnel that becomes warm while a connection waits is evicted at once")
    func warmTooLate() {
        var pool = PoolStateMachine(cap: 1, queueLength: 5)
        _ = pool.requestWarm(waiter(1), at: start)
        _ = pool.accepted(ticket(1), at: start)
        #expect(pool.request(waiter(2), at: start) == [])
        #expect(pool.becameWarm(ticket(1), at: start) == [.evict(ticket(1))])
        #expect(pool.warmCount == 0)
    }

    @Test("an evicted slot that comes back does not count for the next waiter")
    func evictionIsCountedOnce() {
        var pool = PoolStateMachine(cap: 2, queueLength: 5)
        for number: UInt64 in 1...2 {
            _ = pool.requestWarm(waiter(number), at: start)
            _ = pool.accepted(ticket(number), at: start)
            _ = pool.becameWarm(ticket(number), at: start)
        }
        #expect(pool.warmCount == 2)
        #expect(pool.request(waiter(3), at: start) == [.evict(ticket(1))])
        #expect(pool.release(ticket(1), at: start) == [.grant(ticket(3))])
        #expect(pool.request(waiter(4), at: start) == [.evict(ticket(2))])
    }

    @Test("only a dial that is under way is accepted, and only once")
    func acceptedOnce() {
        var pool = PoolStateMachine(cap: 4, queueLength: 5)
        _ = pool.request(waiter(1), at: start)
        _ = pool.accepted(ticket(1), at: start)
        _ = pool.accepted(ticket(1), at: start)
        _ = pool.accepted(ticket(9), at: start)
        _ = pool.request(waiter(2), at: start)
        _ = pool.refusedAsFull(ticket(2), jitter: 0, at: start)
        #expect(pool.cap.effective == 1)
    }

    // MARK: The cap

    @Test("the probes of an endpoint with none of our tunnels grow to 15 s, and a success resets them")
    func probes() {
        var cap = AdaptiveCap(20)
        var now = start
        var pauses: [Duration] = []
        for _ in 0..<8 {
            cap.refused(open: 0, jitter: 0, at: now)
            let end = cap.notBefore ?? now
            pauses.append(now.duration(to: end))
            now = end
            cap.tick(at: now)
        }
        #expect(pauses == [0.5, 1, 2, 4, 8, 15, 15, 15].map { .seconds($0) })
        cap.accepted(open: 1, at: now)
        cap.refused(open: 0, jitter: 0, at: now)
        #expect(cap.notBefore == now + .milliseconds(500))
    }

    @Test("a success ends the pause")
    func successEndsThePause() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 0, jitter: 0, at: start)
        cap.accepted(open: 1, at: start)
        #expect(cap.notBefore == nil)
    }

    @Test("the steps of the cap grow to a minute apart, and a successful step resets them")
    func steps() {
        var cap = AdaptiveCap(20)
        var now = start
        var waits: [Duration] = []
        for _ in 0..<6 {
            cap.refused(open: 3, jitter: 0, at: now)
            let rise = cap.riseAt ?? now
            waits.append(now.duration(to: rise))
            now = rise
            cap.tick(at: now)
            #expect(cap.effective == 4)
        }
        #expect(waits == [5, 10, 20, 40, 60, 60].map { .seconds($0) })
        cap.accepted(open: 4, at: now)
        cap.tick(at: now)
        #expect(cap.effective == 5)
        #expect(cap.riseAt == now + .seconds(5))
    }

    @Test("a cap that is back at its limit forgets how slowly it rose")
    func recovery() {
        var cap = AdaptiveCap(4)
        cap.refused(open: 3, jitter: 0, at: start)
        cap.tick(at: start + .seconds(5))
        #expect(cap.effective == 4 && cap.refusedSince == nil && cap.riseAt == nil)
        cap.refused(open: 3, jitter: 0, at: start + .seconds(6))
        #expect(cap.riseAt == start + .seconds(11))
    }

    @Test("the jitter makes each pause up to half as long again, and an excused one up to twice as long")
    func jitter() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 0, jitter: 0.5, at: start)
        #expect(cap.notBefore == start + .milliseconds(625))
        #expect(cap.riseAt == start + .milliseconds(6_250))
        var excused = AdaptiveCap(20)
        excused.closed(at: start)
        excused.refused(open: 9, jitter: 0.5, at: start)
        #expect(excused.notBefore == start + .milliseconds(375))
    }

    @Test("a close excuses a refusal five seconds later, and none after that")
    func excuseLifetime() {
        for (wait, effective) in [(Duration.seconds(5), 20), (.milliseconds(5_001), 9)] {
            var cap = AdaptiveCap(20)
            cap.closed(at: start)
            cap.refused(open: 9, jitter: 0, at: start + wait)
            #expect(cap.effective == effective)
        }
    }

    @Test("the first refusal of several is the one whose time is reported")
    func refusedSince() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 9, jitter: 0, at: start)
        cap.refused(open: 8, jitter: 0, at: start + .seconds(3))
        #expect(cap.refusedSince == start)
        #expect(cap.effective == 8)
    }

    @Test("a lower configured cap stays below what was learned, and a higher one does not replace it")
    func configuredCap() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 12, jitter: 0, at: start)
        cap.configure(12)
        #expect(cap.effective == 12 && cap.refusedSince == nil, "nothing is refused below the limit")
        cap.configure(20)
        #expect(cap.effective == 20)
        cap.refused(open: 12, jitter: 0, at: start)
        cap.configure(13)
        #expect(cap.effective == 12 && cap.refusedSince == start)
    }

    // MARK: The queue

    @Test("interactive connections served while none else waited do not count against the first normal one")
    func streakAlone() {
        var queue = FairQueue()
        func order(_ count: Int) -> [UInt64] { (0..<count).compactMap { _ in queue.popFirst()?.ticket.number } }
        for number: UInt64 in 1...3 { queue.append(waiter(number, .interactive)) }
        #expect(order(3) == [1, 2, 3])
        queue.append(waiter(10, .normal))
        for number: UInt64 in 4...8 { queue.append(waiter(number, .interactive)) }
        #expect(order(6) == [4, 5, 6, 10, 7, 8])
    }

    @Test("a normal connection that is served begins the count of interactive ones again")
    func streakAfterANormalOne() {
        var queue = FairQueue()
        func pop() -> UInt64? { queue.popFirst()?.ticket.number }
        for number: UInt64 in 1...2 { queue.append(waiter(number, .interactive)) }
        for number: UInt64 in 10...12 { queue.append(waiter(number, .normal)) }
        #expect([pop(), pop(), pop()] == [1, 2, 10])
        for number: UInt64 in 3...6 { queue.append(waiter(number, .interactive)) }
        #expect([pop(), pop(), pop(), pop(), pop()] == [3, 4, 5, 11, 6])
    }

    @Test("normal connections that gave up let the interactive ones pass")
    func streakWithNoNormalOneLeft() {
        var queue = FairQueue()
        queue.append(waiter(10, .normal))
        for number: UInt64 in 1...5 { queue.append(waiter(number, .interactive)) }
        for number: UInt64 in 1...3 { #expect(queue.popFirst()?.ticket.number == number) }
        queue.remove(ticket(10))
        #expect(queue.count == 2 && !queue.contains(ticket(10)) && queue.contains(ticket(4)))
        #expect(queue.popFirst()?.ticket.number == 4)
        #expect(queue.popFirst()?.ticket.number == 5)
        #expect(queue.popFirst() == nil && queue.isEmpty)
    }

    @Test("a key whose only waiter gave up takes no turn")
    func emptyKeys() {
        var queue = FairQueue()
        queue.append(waiter(1, key: "a"))
        queue.append(waiter(2, key: "b"))
        queue.append(waiter(3, key: "b"))
        queue.remove(ticket(1))
        queue.append(waiter(4, key: "a"))
        #expect((0..<3).compactMap { _ in queue.popFirst()?.ticket.number } == [4, 2, 3])
    }

    // MARK: Cool-down

    /// How long the cool-downs after `count` failures last that come one after another.
    private func lengths(_ coolDown: inout CoolDown, _ count: Int, jitter: Double = 0) -> [Int] {
        var now = start
        return (0..<count).map { _ in
            coolDown.begin(at: now, jitter: jitter)
            let end = (1...300).first { !coolDown.isOn(at: now + .seconds($0)) } ?? 0
            now += .seconds(end)
            return end
        }
    }

    @Test("each failure in a row doubles the cool-down, up to a minute")
    func coolDown() {
        var coolDown = CoolDown()
        #expect(!coolDown.isOn(at: start))
        #expect(lengths(&coolDown, 6) == [5, 10, 20, 40, 60, 60])
        coolDown.begin(at: start, jitter: 0)
        #expect(coolDown.isOn(at: start + .milliseconds(59_999)))
        #expect(!coolDown.isOn(at: start + .seconds(60)))
    }

    @Test("the jitter makes a cool-down up to a quarter longer")
    func coolDownJitter() {
        var coolDown = CoolDown()
        coolDown.begin(at: start, jitter: 0.8)
        #expect(coolDown.isOn(at: start + .milliseconds(5_999)))
        #expect(!coolDown.isOn(at: start + .seconds(6)))
    }

    @Test("a success ends a cool-down and resets its length")
    func successEndsACoolDown() {
        var coolDown = CoolDown()
        _ = lengths(&coolDown, 3)
        coolDown.begin(at: start, jitter: 0)
        coolDown.end()
        #expect(!coolDown.isOn(at: start))
        #expect(lengths(&coolDown, 2) == [5, 10])
    }
}
