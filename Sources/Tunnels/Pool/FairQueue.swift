/// Who is served first while an endpoint's slots are taken.
public enum TunnelPriority: String, Hashable, Sendable {
    /// A person waits: `proxy`, or a forward that says so.
    case interactive
    case normal
}

/// A place in an endpoint's books: someone who waits for a slot, or has one.
public struct Ticket: Hashable, Sendable {
    public let number: UInt64

    package init(number: UInt64) { self.number = number }
}

/// Those who wait for a slot, in two classes that are served 3:1, round robin over keys inside each: no class starves the
/// other, and a forward with a hundred connections does not delay one with a single connection. All operations take
/// constant time on average.
package struct FairQueue {
    package struct Waiter: Hashable {
        var ticket: Ticket
        var priority: TunnelPriority
        /// What turns are taken over: a forward's name, or the target of a `proxy`.
        var key: String

        package init(ticket: Ticket, priority: TunnelPriority, key: String) {
            self.ticket = ticket
            self.priority = priority
            self.key = key
        }
    }

    /// Interactive waiters served for each normal one while both wait.
    static let interactiveShare = 3

    private var interactive = Class()
    private var normal = Class()
    /// Those who had their turn and could not use it: before all others, and counted once.
    private var returned = Line<Waiter>()
    private var alive: [Ticket: Waiter] = [:]
    /// Interactive waiters served since the last normal one, while both waited.
    private var streak = 0

    var count: Int { alive.count }
    /// How many of them are interactive.
    private(set) var interactiveCount = 0
    var isEmpty: Bool { alive.isEmpty }

    func contains(_ ticket: Ticket) -> Bool { alive[ticket] != nil }

    /// To the end of its line.
    mutating func append(_ waiter: Waiter) {
        add(waiter)
        withClass(of: waiter) { $0.append(waiter) }
    }

    /// To the front of everything, behind those who came back before: someone who had his turn, and could not use it. It
    /// moves nobody's turn, so that who is refused often falls behind no more than who never is.
    mutating func prepend(_ waiter: Waiter) {
        add(waiter)
        returned.append(waiter)
    }

    private mutating func add(_ waiter: Waiter) {
        alive[waiter.ticket] = waiter
        if waiter.priority == .interactive { interactiveCount += 1 }
    }

    /// Harmless for a ticket that does not wait. Its place in line is skipped later.
    mutating func remove(_ ticket: Ticket) {
        if alive.removeValue(forKey: ticket)?.priority == .interactive { interactiveCount -= 1 }
    }

    /// Whose turn it is.
    mutating func popFirst() -> Waiter? {
        while let waiter = returned.popFirst() { if alive[waiter.ticket] != nil { return served(waiter) } }
        let takesNormal = streak >= Self.interactiveShare
        if takesNormal, let waiter = normal.popFirst(alive: alive) {
            streak = 0
            return served(waiter)
        }
        if let waiter = interactive.popFirst(alive: alive) {
            // With nobody in the other class there is nothing to share.
            streak = normal.isEmpty ? 0 : streak + 1
            return served(waiter)
        }
        streak = 0
        return normal.popFirst(alive: alive).map { served($0) }
    }

    private mutating func served(_ waiter: Waiter) -> Waiter {
        remove(waiter.ticket)
        return waiter
    }

    private mutating func withClass(of waiter: Waiter, _ body: (inout Class) -> Void) {
        switch waiter.priority {
        case .interactive: body(&interactive)
        case .normal: body(&normal)
        }
    }

    /// One class: a line for each key, and the order in which the keys take turns.
    private struct Class {
        private var lines: [String: Line<Waiter>] = [:]
        private var turns = Line<String>()

        /// No line is left; those whose waiters all gave up may still stand.
        var isEmpty: Bool { lines.isEmpty }

        mutating func append(_ waiter: Waiter) {
            if lines[waiter.key] == nil { turns.append(waiter.key) }
            lines[waiter.key, default: Line()].append(waiter)
        }

        mutating func popFirst(alive: [Ticket: Waiter]) -> Waiter? {
            while let key = turns.popFirst() {
                while let waiter = lines[key]?.popFirst() {
                    guard alive[waiter.ticket] != nil else { continue }
                    if lines[key]?.isEmpty == true {
                        lines[key] = nil
                    } else {
                        turns.append(key)
                    }
                    return waiter
                }
                lines[key] = nil
            }
            return nil
        }
    }
}

/// First in, first out.
private struct Line<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard head < elements.count else { return nil }
        let element = elements[head]
        elements[head] = nil
        head += 1
        // The dead front is cut when it is half of all, so that each element is moved at most once.
        if head > 32, head * 2 > elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }
}
