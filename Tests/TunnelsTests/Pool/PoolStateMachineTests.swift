import Testing

@testable import Tunnels

/// The pool's rules, each as a transcript: an event, and what was decided.
@Suite struct PoolStateMachineTests {
    private let start = ContinuousClock.now

    private func ticket(_ number: UInt64) -> Ticket { Ticket(number: number) }

    private func waiter(_ number: UInt64, _ priority: TunnelPriority = .normal, key: String = "f") -> FairQueue.Waiter {
        FairQueue.Waiter(ticket: ticket(number), priority: priority, key: key)
    }

    @Test func aFreeSlotIsGrantedAtOnce() {
        var pool = PoolStateMachine(cap: 2, queueLength: 5)
        #expect(pool.request(waiter(1), at: start) == [.grant(ticket(1))])
        #expect(pool.request(waiter(2), at: start) == [.grant(ticket(2))])
        #expect(pool.inUse == 2)
    }

    @Test func overTheCapConnectionsWaitAndAFullQueueRefuses() {
        var pool = PoolStateMachine(cap: 1, queueLength: 1)
        _ = pool.request(waiter(1), at: start)
        #expect(pool.request(waiter(2), at: start) == [])
        #expect(pool.request(waiter(3), at: start) == [.refuse(ticket(3))])
        #expect(pool.queued == 1)
    }

    @Test func aSlotThatComesBackGoesToTheNextOne() {
        var pool = PoolStateMachine(cap: 1, queueLength: 5)
        for number in 1...3 { _ = pool.request(waiter(UInt64(number)), at: start) }
        #expect(pool.release(ticket(1), at: start) == [.grant(ticket(2))])
        #expect(pool.release(ticket(1), at: start) == [])
        #expect(pool.release(ticket(2), at: start) == [.grant(ticket(3))])
    }

    @Test func whoGaveUpIsPassedOver() {
        var pool = PoolStateMachine(cap: 1, queueLength: 5)
        for number in 1...3 { _ = pool.request(waiter(UInt64(number)), at: start) }
        pool.withdraw(ticket(2))
        #expect(pool.release(ticket(1), at: start) == [.grant(ticket(3))])
    }

    @Test func aWarmTunnelIsGivenUpTheMomentSomeoneNeedsItsSlot() {
        var pool = PoolStateMachine(cap: 1, queueLength: 5)
        #expect(pool.requestWarm(waiter(1), at: start) == [.grant(ticket(1))])
        _ = pool.accepted(ticket(1), at: start)
        #expect(pool.becameWarm(ticket(1), at: start) == [])
        #expect(pool.request(waiter(2), at: start) == [.evict(ticket(1))])
        let used = pool.useWarm(ticket(1))
        #expect(!used)
        #expect(pool.release(ticket(1), at: start) == [.grant(ticket(2))])
    }

    @Test func oneEvictionServesOneWaiter() {
        var pool = PoolStateMachine(cap: 2, queueLength: 5)
        for number: UInt64 in [1, 2] {
            _ = pool.requestWarm(waiter(number), at: start)
            _ = pool.accepted(ticket(number), at: start)
            _ = pool.becameWarm(ticket(number), at: start)
        }
        #expect(pool.request(waiter(3), at: start) == [.evict(ticket(1))])
        #expect(pool.request(waiter(4), at: start) == [.evict(ticket(2))])
        #expect(pool.request(waiter(5), at: start) == [])
    }

    @Test func aWarmTunnelThatFindsItsConnectionIsNoLongerGivenUp() {
        var pool = PoolStateMachine(cap: 1, queueLength: 5)
        _ = pool.requestWarm(waiter(1), at: start)
        _ = pool.accepted(ticket(1), at: start)
        _ = pool.becameWarm(ticket(1), at: start)
        let used = pool.useWarm(ticket(1))
        #expect(used)
        #expect(pool.request(waiter(2), at: start) == [])
    }

    @Test func nobodyGetsAWarmTunnelWhileOthersCouldWantTheSlot() {
        var pool = PoolStateMachine(cap: 1, queueLength: 5)
        _ = pool.request(waiter(1), at: start)
        #expect(pool.requestWarm(waiter(2), at: start) == [.refuse(ticket(2))])
    }

    /// A pool of one slot, which is held by an open tunnel whose client has sent nothing.
    private func silentPool() -> PoolStateMachine {
        var pool = PoolStateMachine(cap: 1, queueLength: 2, patience: .seconds(10))
        _ = pool.request(waiter(1), at: start)
        _ = pool.accepted(ticket(1), at: start)
        _ = pool.becameSilent(ticket(1), at: start)
        return pool
    }

    @Test("a client that sends nothing loses its slot to an interactive tunnel when its time is over")
    func silentTunnelIsEvicted() {
        var pool = silentPool()
        #expect(pool.request(waiter(2, .interactive), at: start + .seconds(3)) == [])
        #expect(pool.nextWake == start + .seconds(10))
        #expect(pool.tick(at: start + .seconds(9)) == [])
        #expect(pool.tick(at: start + .seconds(10)) == [.evict(ticket(1))])
        // One eviction serves one waiter, and what was evicted cannot be taken back.
        #expect(pool.tick(at: start + .seconds(20)) == [])
        pool.spoke(ticket(1))
        #expect(pool.release(ticket(1), at: start + .seconds(20)) == [.grant(ticket(2))])
        // The next one finds a tunnel that is being dialed.
        #expect(pool.request(waiter(3, .interactive), at: start + .seconds(60)) == [])
    }

    @Test("an interactive tunnel takes the slot of a client that has been silent long enough at once")
    func longSilence() {
        var pool = silentPool()
        #expect(pool.request(waiter(2, .interactive), at: start + .seconds(30)) == [.evict(ticket(1))])
    }

    @Test("a client that has sent a byte keeps its slot")
    func spokenTunnelStays() {
        var pool = silentPool()
        pool.spoke(ticket(1))
        #expect(pool.request(waiter(2, .interactive), at: start + .seconds(30)) == [])
        #expect(pool.tick(at: start + .seconds(3_600)) == [])
    }

    @Test("a tunnel that is not interactive takes nobody's slot")
    func normalWaiterEvictsNothing() {
        var pool = silentPool()
        #expect(pool.request(waiter(2), at: start + .seconds(30)) == [])
        #expect(pool.nextWake == nil)
        #expect(pool.request(waiter(3, .interactive), at: start + .seconds(30)) == [.evict(ticket(1))])
    }

    @Test("a warm tunnel gives its slot up before one with a client")
    func warmBeforeSilent() {
        var pool = PoolStateMachine(cap: 2, queueLength: 5)
        for number: UInt64 in 1...2 {
            _ = pool.request(waiter(number), at: start)
            _ = pool.accepted(ticket(number), at: start)
        }
        _ = pool.becameSilent(ticket(1), at: start)
        _ = pool.becameWarm(ticket(2), at: start)
        #expect(pool.request(waiter(3, .interactive), at: start + .seconds(30)) == [.evict(ticket(2))])
        #expect(pool.request(waiter(4, .interactive), at: start + .seconds(30)) == [.evict(ticket(1))])
    }

    @Test("a queue full of other connections turns no interactive tunnel away")
    func interactiveQueue() {
        var pool = PoolStateMachine(cap: 1, queueLength: 2)
        for number: UInt64 in 1...3 { _ = pool.request(waiter(number), at: start) }
        #expect(pool.request(waiter(4), at: start) == [.refuse(ticket(4))])
        #expect(pool.request(waiter(5, .interactive), at: start) == [])
        #expect(pool.request(waiter(6, .interactive), at: start) == [])
        #expect(pool.request(waiter(7, .interactive), at: start) == [.refuse(ticket(7))])
        pool.withdraw(ticket(6))
        #expect(pool.request(waiter(8, .interactive), at: start) == [])
        #expect(pool.release(ticket(1), at: start) == [.grant(ticket(5))])
        #expect(pool.request(waiter(9, .interactive), at: start) == [])
    }

    @Test func aRefusalForWantOfRoomLowersTheCapAndKeepsTheTurn() {
        var pool = PoolStateMachine(cap: 4, queueLength: 5)
        for number: UInt64 in 1...2 {
            _ = pool.request(waiter(number), at: start)
            _ = pool.accepted(ticket(number), at: start)
        }
        _ = pool.request(waiter(3), at: start)
        #expect(pool.refusedAsFull(ticket(3), jitter: 0, at: start) == [])
        #expect(pool.cap.effective == 2)
        #expect(pool.request(waiter(4), at: start) == [])
        // The refused one comes before the one that came later.
        #expect(pool.release(ticket(1), at: start) == [.grant(ticket(3))])
    }

    @Test func withNothingOpenOneWaiterProbesAfterAPause() {
        var pool = PoolStateMachine(cap: 4, queueLength: 5)
        _ = pool.request(waiter(1), at: start)
        _ = pool.request(waiter(2), at: start)
        #expect(pool.refusedAsFull(ticket(1), jitter: 0, at: start) == [])
        #expect(pool.refusedAsFull(ticket(2), jitter: 0, at: start) == [])
        let wake = pool.nextWake ?? start
        #expect(wake > start)
        // The one that was refused first.
        #expect(pool.tick(at: wake) == [.grant(ticket(1))])
        #expect(pool.inUse == 1)
    }

    @Test func aHigherCapServesThoseWhoWait() {
        var pool = PoolStateMachine(cap: 1, queueLength: 5)
        for number in 1...3 { _ = pool.request(waiter(UInt64(number)), at: start) }
        #expect(pool.setCap(3, at: start) == [.grant(ticket(2)), .grant(ticket(3))])
    }

    @Test func aLowerCapTakesNothingAway() {
        var pool = PoolStateMachine(cap: 3, queueLength: 5)
        for number in 1...3 { _ = pool.request(waiter(UInt64(number)), at: start) }
        _ = pool.request(waiter(4), at: start)
        #expect(pool.setCap(1, at: start) == [])
        #expect(pool.release(ticket(1), at: start) == [])
        #expect(pool.release(ticket(2), at: start) == [])
        #expect(pool.release(ticket(3), at: start) == [.grant(ticket(4))])
    }

    @Test func whatAnEarlierProcessHoldsIsTakenUntilItSaysOtherwise() {
        var pool = PoolStateMachine(cap: 2, queueLength: 5)
        #expect(pool.setTaken(2, at: start) == [])
        #expect(pool.request(waiter(1), at: start) == [])
        #expect(!pool.hasFreeSlot && pool.queued == 1 && pool.inUse == 0)
        #expect(pool.setTaken(1, at: start) == [.grant(ticket(1))])
        #expect(pool.request(waiter(2), at: start) == [])
        #expect(pool.setTaken(0, at: start) == [.grant(ticket(2))])
    }

    @Test func whatAnEarlierProcessHoldsIsOpenAsFarAsTheServiceKnows() {
        var pool = PoolStateMachine(cap: 20, queueLength: 5)
        _ = pool.setTaken(3, at: start)
        _ = pool.request(waiter(1), at: start)
        _ = pool.refusedAsFull(ticket(1), jitter: 0, at: start)
        // Three are open: the service takes three, and its refusal says nothing of fewer.
        #expect(pool.cap.effective == 3)
        #expect(pool.setTaken(2, at: start) == [.grant(ticket(1))])
    }
}
