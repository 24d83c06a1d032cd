import TestSupport
import Testing

@testable import SocketIO

@Suite struct DeadlineHeapTests {
    private let start = ContinuousClock.now

    @Test func deadlinesComeInTheOrderOfTheirInstants() {
        var heap = DeadlineHeap()
        for seconds in [5, 1, 4, 2, 3] { _ = heap.insert(start + .seconds(seconds)) {} }
        var instants: [ContinuousClock.Instant] = []
        while let earliest = heap.earliest {
            instants.append(earliest)
            _ = heap.popDue(at: earliest)
        }
        #expect(instants == (1...5).map { start + .seconds($0) })
    }

    @Test func nothingIsDueBeforeItsInstant() {
        var heap = DeadlineHeap()
        _ = heap.insert(start + .seconds(1)) {}
        #expect(heap.popDue(at: start) == nil)
        #expect(heap.popDue(at: start + .seconds(1)) != nil)
        #expect(heap.popDue(at: start + .seconds(9)) == nil)
    }

    @Test func aCancelledDeadlineIsNeitherDueNorEarliest() {
        var heap = DeadlineHeap()
        let first = heap.insert(start + .seconds(1)) {}
        _ = heap.insert(start + .seconds(2)) {}
        heap.remove(first)
        heap.remove(first)
        #expect(heap.earliest == start + .seconds(2))
        #expect(heap.count == 1)
    }

    @Test func roomThatIsGivenBackTakesNoDeadlineWithIt() {
        var heap = DeadlineHeap()
        let deadlines = (0..<5_000).map { heap.insert(start + .seconds($0)) {} }
        for (index, deadline) in deadlines.enumerated() where index % 1_000 != 999 { heap.remove(deadline) }
        heap.giveBackRoom()
        heap.remove(deadlines[1_999])
        _ = heap.insert(start + .seconds(2_500)) {}
        var instants: [ContinuousClock.Instant] = []
        while let earliest = heap.earliest {
            instants.append(earliest)
            _ = heap.popDue(at: earliest)
        }
        #expect(instants == [999, 2_500, 2_999, 3_999, 4_999].map { start + .seconds($0) })
    }

    @Test func thousandsOfCancelledDeadlinesLeaveTheOthersInOrder() {
        var heap = DeadlineHeap()
        var generator = SeededGenerator(seed: 7)
        let deadlines = (0..<5_000).map { _ in
            heap.insert(start + .milliseconds(Int.random(in: 0..<100_000, using: &generator))) {}
        }
        for (index, deadline) in deadlines.enumerated() where index % 10 != 0 { heap.remove(deadline) }
        var last = start
        var count = 0
        while let earliest = heap.earliest {
            #expect(earliest >= last)
            last = earliest
            #expect(heap.popDue(at: earliest) != nil)
            count += 1
        }
        #expect(count == 500)
    }

    @Test("equal deadlines come in the order in which they were set")
    func equalDeadlines() {
        var heap = DeadlineHeap()
        let order = Order()
        // Others before and behind them, and some that are cancelled, move the entries about.
        var cancelled: [Deadline] = []
        for number in 0..<300 {
            _ = heap.insert(start + .seconds(1)) { order.numbers.append(number) }
            cancelled.append(heap.insert(start + .milliseconds(number * 7 % 2_000)) {})
        }
        for deadline in cancelled { heap.remove(deadline) }
        while let body = heap.popDue(at: start + .seconds(1)) { body() }
        #expect(order.numbers == Array(0..<300))
        #expect(heap.count == 0 && heap.earliest == nil)
    }

    @Test("a deadline that was taken out can no longer be cancelled for another")
    func numbersAreNotReused() {
        var heap = DeadlineHeap()
        let first = heap.insert(start) {}
        _ = heap.popDue(at: start)
        let second = heap.insert(start) {}
        #expect(first != second)
        heap.remove(first)
        #expect(heap.count == 1)
    }
}

private final class Order { var numbers: [Int] = [] }
