import Testing

@testable import Tunnels

@Suite struct FairQueueTests {
    private func queue(_ waiters: [(Int, TunnelPriority, String)]) -> FairQueue {
        var queue = FairQueue()
        for (number, priority, key) in waiters {
            queue.append(.init(ticket: Ticket(number: UInt64(number)), priority: priority, key: key))
        }
        return queue
    }

    private func order(_ queue: FairQueue) -> [Int] {
        var queue = queue
        var order: [Int] = []
        while let waiter = queue.popFirst() { order.append(Int(waiter.ticket.number)) }
        return order
    }

    @Test func oneLineIsServedInTheOrderItCame() {
        #expect(order(queue((1...5).map { ($0, .normal, "a") })) == [1, 2, 3, 4, 5])
    }

    @Test func keysTakeTurns() {
        let busy = (1...4).map { ($0, TunnelPriority.normal, "busy") }
        #expect(order(queue(busy + [(9, .normal, "quiet")])) == [1, 9, 2, 3, 4])
    }

    @Test func threeInteractiveWaitersAreServedForEachNormalOne() {
        let interactive = (1...6).map { ($0, TunnelPriority.interactive, "i") }
        let normal = (11...13).map { ($0, TunnelPriority.normal, "n") }
        #expect(order(queue(normal + interactive)) == [1, 2, 3, 11, 4, 5, 6, 12, 13])
    }

    @Test func whoGaveUpIsSkipped() {
        var queue = queue((1...4).map { ($0, .normal, "a") })
        queue.remove(Ticket(number: 1))
        queue.remove(Ticket(number: 3))
        queue.remove(Ticket(number: 99))
        #expect(queue.count == 2)
        #expect(order(queue) == [2, 4])
    }

    @Test func whoComesBackIsNext() {
        var queue = queue([(1, .normal, "a"), (2, .normal, "a"), (3, .normal, "b")])
        let first = queue.popFirst()
        #expect(first?.ticket.number == 1)
        if let first { queue.prepend(first) }
        #expect(order(queue) == [1, 3, 2])
    }

    /// A turn that could not be used is one turn, however often it is tried.
    @Test func whoComesBackCostsNobodyATurn() {
        var queue = queue([
            (1, .normal, "a"), (2, .normal, "a"), (3, .normal, "a"), (4, .normal, "b"), (5, .normal, "c"),
            (6, .normal, "b"),
        ])
        let first = queue.popFirst()
        let second = queue.popFirst()
        #expect(first?.ticket.number == 1 && second?.ticket.number == 4)
        // "a" has moved on to c's left when its first one comes back: its next one does not fall behind for that.
        #expect(queue.popFirst()?.ticket.number == 5)
        if let first { queue.prepend(first) }
        #expect(order(queue) == [1, 2, 6, 3])
    }

    @Test func aNormalWaiterThatComesBackKeepsItsTurnBeforeTheOtherClass() {
        let interactive = (1...6).map { ($0, TunnelPriority.interactive, "i") }
        var queue = queue([(11, .normal, "n"), (12, .normal, "n")] + interactive)
        let served = (0..<4).compactMap { _ in queue.popFirst() }
        #expect(served.map(\.ticket.number) == [1, 2, 3, 11])
        queue.prepend(served[3])
        #expect(order(queue) == [11, 4, 5, 6, 12])
    }

    @Test func thoseWhoComeBackAreServedInTheOrderOfTheirReturnAndCanGiveUp() {
        var queue = queue([(1, .normal, "a"), (2, .interactive, "b"), (3, .normal, "c"), (4, .normal, "c")])
        for waiter in (0..<3).compactMap({ _ in queue.popFirst() }) { queue.prepend(waiter) }
        queue.remove(Ticket(number: 1))
        #expect(queue.count == 3)
        #expect(order(queue) == [2, 3, 4])
    }

    @Test func thousandsComeAndGoWithoutLosingTheirOrder() {
        var queue = FairQueue()
        var served: [UInt64] = []
        for number in 0..<10_000 {
            queue.append(.init(ticket: Ticket(number: UInt64(number)), priority: .normal, key: "a"))
            if number % 2 == 1, let waiter = queue.popFirst() { served.append(waiter.ticket.number) }
        }
        while let waiter = queue.popFirst() { served.append(waiter.ticket.number) }
        #expect(served == Array(0..<10_000))
    }
}
