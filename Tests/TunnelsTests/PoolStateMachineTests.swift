import Testing

@testable import Tunnels

@Suite struct PoolStateMachineTests {
    private func ticket(_ number: UInt64) -> PoolStateMachine.Ticket { .init(number: number) }

    @Test func aFreeSlotIsGrantedAtOnce() {
        var pool = PoolStateMachine(cap: 1, queueLength: 1)
        #expect(pool.request(ticket(1)) == [.grant(ticket(1))])
        #expect(pool.inUse == 1)
    }

    @Test func aFullPoolMakesWaitAndAFullQueueRefuses() {
        var pool = PoolStateMachine(cap: 1, queueLength: 1)
        _ = pool.request(ticket(1))
        #expect(pool.request(ticket(2)) == [])
        #expect(pool.request(ticket(3)) == [.refuse(ticket(3))])
        #expect(pool.queued == 1)
    }

    @Test func aSlotThatComesBackGoesToTheFirstWhoWaits() {
        var pool = PoolStateMachine(cap: 1, queueLength: 9)
        for number in 1...3 { _ = pool.request(ticket(UInt64(number))) }
        #expect(pool.release() == [.grant(ticket(2))])
        #expect(pool.release() == [.grant(ticket(3))])
        #expect(pool.release() == [])
        #expect(pool.inUse == 0)
    }

    @Test func whoWithdrewIsPassedOver() {
        var pool = PoolStateMachine(cap: 1, queueLength: 9)
        for number in 1...3 { _ = pool.request(ticket(UInt64(number))) }
        pool.withdraw(ticket(2))
        #expect(pool.release() == [.grant(ticket(3))])
    }

    @Test func aHigherCapServesWhoWaits() {
        var pool = PoolStateMachine(cap: 1, queueLength: 9)
        for number in 1...4 { _ = pool.request(ticket(UInt64(number))) }
        #expect(pool.setCap(3) == [.grant(ticket(2)), .grant(ticket(3))])
    }

    @Test func aLowerCapTakesNothingAway() {
        var pool = PoolStateMachine(cap: 3, queueLength: 9)
        for number in 1...4 { _ = pool.request(ticket(UInt64(number))) }
        #expect(pool.setCap(1) == [])
        #expect(pool.inUse == 3)
        #expect(pool.release() == [])
        #expect(pool.release() == [])
        #expect(pool.release() == [.grant(ticket(4))])
    }

    /// Against a model that is a plain list: whatever happens in whatever order.
    @Test(arguments: 0..<50)
    func itAgreesWithAModelWhateverHappens(seed: UInt64) {
        var random = SplitMix(state: seed)
        var cap = Int.random(in: 1...5, using: &random)
        let queueLength = Int.random(in: 0...6, using: &random)
        var pool = PoolStateMachine(cap: cap, queueLength: queueLength)
        var waiting: [PoolStateMachine.Ticket] = []
        var holders = 0
        var answered: Set<PoolStateMachine.Ticket> = []
        var withdrawn: Set<PoolStateMachine.Ticket> = []
        var asked: UInt64 = 0

        for _ in 0..<400 {
            var decisions: [PoolStateMachine.Decision] = []
            var expected: [PoolStateMachine.Decision] = []
            func serve() {
                while holders < cap, !waiting.isEmpty {
                    holders += 1
                    expected.append(.grant(waiting.removeFirst()))
                }
            }
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                asked += 1
                let new = ticket(asked)
                if waiting.isEmpty, holders < cap {
                    holders += 1
                    expected = [.grant(new)]
                } else if waiting.count < queueLength {
                    waiting.append(new)
                } else {
                    expected = [.refuse(new)]
                }
                decisions = pool.request(new)
            case 5..<8 where holders > 0:
                holders -= 1
                serve()
                decisions = pool.release()
            case 8:
                let some = ticket(UInt64.random(in: 0...asked, using: &random))
                if waiting.contains(some) { withdrawn.insert(some) }
                waiting.removeAll { $0 == some }
                pool.withdraw(some)
            default:
                cap = Int.random(in: 1...5, using: &random)
                serve()
                decisions = pool.setCap(cap)
            }
            #expect(decisions == expected)
            #expect(pool.inUse == holders && pool.queued == waiting.count)
            for decision in decisions {
                switch decision {
                case .grant(let ticket):
                    #expect(pool.inUse <= cap)
                    #expect(answered.insert(ticket).inserted)
                case .refuse(let ticket): #expect(answered.insert(ticket).inserted)
                }
            }
        }
        // Nobody is lost: each was answered, withdrew, or still waits.
        #expect(answered.count + withdrawn.count + waiting.count == Int(asked))
        #expect(answered.isDisjoint(with: withdrawn))
    }
}

/// Numbers that are the same in each run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
