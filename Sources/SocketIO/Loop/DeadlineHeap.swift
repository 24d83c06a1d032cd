/// Names a scheduled deadline, for its cancellation.
public struct Deadline: Hashable, Sendable {
    fileprivate let number: UInt64
}

/// Deadlines in the order of their instants: a binary heap. A cancelled one leaves its place empty until it comes to
/// the top, or until half of the heap is empty places.
struct DeadlineHeap {
    private struct Entry {
        let instant: ContinuousClock.Instant
        let number: UInt64

        func isBefore(_ other: Entry) -> Bool {
            instant < other.instant || (instant == other.instant && number < other.number)
        }
    }

    private var heap: [Entry] = []
    private var bodies: [UInt64: () -> Void] = [:]
    private var nextNumber: UInt64 = 0

    var count: Int { bodies.count }

    mutating func insert(_ instant: ContinuousClock.Instant, _ body: @escaping () -> Void) -> Deadline {
        let number = nextNumber
        nextNumber += 1
        bodies[number] = body
        heap.append(Entry(instant: instant, number: number))
        siftUp(heap.count - 1)
        return Deadline(number: number)
    }

    mutating func remove(_ deadline: Deadline) {
        guard bodies.removeValue(forKey: deadline.number) != nil else { return }
        if heap.count > 32, bodies.count * 2 < heap.count { compact() }
    }

    /// The next instant at which something is due.
    var earliest: ContinuousClock.Instant? {
        mutating get {
            while let first = heap.first {
                if bodies[first.number] != nil { return first.instant }
                removeFirst()
            }
            return nil
        }
    }

    /// Takes out the earliest body whose instant is not after `now`.
    mutating func popDue(at now: ContinuousClock.Instant) -> (() -> Void)? {
        guard let earliest, earliest <= now, let first = heap.first else { return nil }
        removeFirst()
        return bodies.removeValue(forKey: first.number)
    }

    /// Gives back the room of many more than there are.
    mutating func giveBackRoom() {
        heap.giveBackRoom()
        bodies.giveBackRoom()
    }

    private mutating func compact() {
        heap.removeAll { bodies[$0.number] == nil }
        // Sorted is a heap too.
        heap.sort { $0.isBefore($1) }
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { return }
            let right = left + 1
            let child = right < heap.count && heap[right].isBefore(heap[left]) ? right : left
            guard heap[child].isBefore(heap[parent]) else { return }
            heap.swapAt(child, parent)
            parent = child
        }
    }

    private mutating func siftUp(_ index: Int) {
        var child = index
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }
}
