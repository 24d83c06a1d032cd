/// Which look-ups of names may hold a thread: names that hang leave room for others. Pure.
///
/// A name server that is silent holds a thread for ten seconds and more (resolv.conf(5): 5 s for each try). Names that are known to
/// hang get a quarter of the threads at most, they and names of which nothing is known three quarters, and names that were answered
/// lately all of them.
struct LookUpShares {
    /// What is known of a name, the best first.
    enum Standing: Int, CaseIterable {
        /// Its last look-up was answered soon.
        case answers
        case unknown
        /// Its last look-up took long.
        case hangs
    }

    /// How long a look-up may take that is answered soon.
    static let soon = Duration.seconds(2)

    private let threads: Int
    private var running = [Int](repeating: 0, count: Standing.allCases.count)
    private var waiting = [[String]](repeating: [], count: Standing.allCases.count)

    init(threads: Int) { self.threads = threads }

    /// How many look-ups of a standing, or a worse one, may run.
    private func limit(_ standing: Standing) -> Int {
        switch standing {
        case .answers: threads
        case .unknown: max(1, threads * 3 / 4)
        case .hangs: max(1, threads / 4)
        }
    }

    private func mayRun(_ standing: Standing) -> Bool {
        Standing.allCases.filter { $0.rawValue <= standing.rawValue }.allSatisfy { other in
            running[other.rawValue...].reduce(0, +) < limit(other)
        }
    }

    /// Whether the look-up may begin now. Else it comes out of ``left(_:)`` when its turn is.
    mutating func enter(_ name: String, _ standing: Standing) -> Bool {
        guard waiting[standing.rawValue].isEmpty, mayRun(standing) else {
            waiting[standing.rawValue].append(name)
            return false
        }
        running[standing.rawValue] += 1
        return true
    }

    /// A look-up has ended.
    ///
    /// - Returns: those that begin now, with the standing that they count as.
    mutating func left(_ standing: Standing) -> [(name: String, standing: Standing)] {
        running[standing.rawValue] -= 1
        var next: [(name: String, standing: Standing)] = []
        for standing in Standing.allCases {
            while let name = waiting[standing.rawValue].first, mayRun(standing) {
                waiting[standing.rawValue].removeFirst()
                running[standing.rawValue] += 1
                next.append((name, standing))
            }
        }
        return next
    }
}
