import Bounds
import Glibc
import SocketIO
import Synchronization

/// Where the computation of TLS handshakes is done. One alone is done at once, on its loop; of a crowd each step goes to a thread,
/// since the loop would take one after the other while cores lie idle. Confined to the loop that dials.
public final class Handshakes {
    fileprivate final class Count: Sendable {
        let value = Atomic(0)
    }

    private let underWay = Count()
    private let threads: BlockingPool
    private let mostAway: Int
    private var away = 0
    private var waiting: [() -> Void] = []

    /// - Parameters:
    ///   - cores: so many threads are used.
    ///   - stepsPerCore: so many steps are with a thread or wait for it. Enough that no thread waits for the loop, and few, since
    ///     each holds buffers: the others wait with the loop and borrow none.
    public init(cores: Int = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))), stepsPerCore: Int = 16) {
        threads = BlockingPool(limit: cores)
        mostAway = stepsPerCore * cores
    }

    /// Counts one handshake until it has gone.
    public final class Mark: Sendable {
        private let underWay: Count

        fileprivate init(_ underWay: Count) {
            self.underWay = underWay
            underWay.value.add(1, ordering: .relaxed)
        }

        deinit { underWay.value.subtract(1, ordering: .relaxed) }

        public var isOneOfSeveral: Bool { underWay.value.load(ordering: .relaxed) > 1 }
    }

    public func begin() -> Mark { Mark(underWay) }

    /// Has a step computed on another thread, when it is its turn.
    ///
    /// - Parameters:
    ///   - begin: called then, on the loop; gives the work, or nil where it is not wanted any more.
    ///   - end: called on the loop with what the work gave. A step that it asks for has its turn at once.
    func compute<Result: Sendable>(
        _ begin: @escaping () -> (@Sendable () -> Result)?, then end: @escaping (Result) -> Void,
        on loop: isolated Loop
    ) {
        guard away < mostAway else {
            waiting.append { [weak self] in self?.compute(begin, then: end, on: loop) }
            return
        }
        guard let work = begin() else { return }
        away += 1
        let back = LoopBound((self, end), on: loop)
        threads.run {
            let result = work()
            back.loop.submit { loop in
                let (handshakes, end) = back.get(on: loop)
                handshakes.away -= 1
                end(result)
                handshakes.callNext()
            }
        }
    }

    private func callNext() {
        while away < mostAway, !waiting.isEmpty { waiting.removeFirst()() }
        if waiting.isEmpty { waiting.giveBackRoom() }
    }
}
