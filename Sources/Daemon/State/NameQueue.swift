/// Who may work on which forwards: requests that concern the same name go one after another, in the order they came;
/// all others side by side. Pure.
struct NameQueue<Work> {
    private var busy: Set<String> = []
    private var waiting: [(names: Set<String>, work: Work)] = []

    /// Nobody works on anything.
    var isIdle: Bool { busy.isEmpty && waiting.isEmpty }

    /// - Returns: whether the work may begin now. Else it comes out of ``release(_:)`` when its turn is.
    mutating func enter(_ names: Set<String>, _ work: Work) -> Bool {
        guard busy.isDisjoint(with: names), waiting.allSatisfy({ $0.names.isDisjoint(with: names) }) else {
            waiting.append((names, work))
            return false
        }
        busy.formUnion(names)
        return true
    }

    /// The work on `names` is over.
    ///
    /// - Returns: what may begin now.
    mutating func release(_ names: Set<String>) -> [Work] {
        busy.subtract(names)
        var ready: [Work] = []
        var blocked = busy
        waiting.removeAll { entry in
            // A later one must not overtake an earlier one that still waits for a name of both.
            guard blocked.isDisjoint(with: entry.names) else {
                blocked.formUnion(entry.names)
                return false
            }
            blocked.formUnion(entry.names)
            busy.formUnion(entry.names)
            ready.append(entry.work)
            return true
        }
        return ready
    }
}
