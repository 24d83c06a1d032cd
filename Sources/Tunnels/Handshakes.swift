import Glibc
import SocketIO
import Synchronization

/// Where the computation of TLS handshakes is done. One alone is done at once, on its loop; of a crowd each step goes to a thread,
/// since a loop would take one after the other while cores lie idle. From any thread.
final class Handshakes: Sendable {
    private let underWay = Atomic(0)
    private let threads = BlockingPool(limit: max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))))

    /// Counts one until it has gone.
    final class Mark: Sendable {
        private let handshakes: Handshakes

        fileprivate init(_ handshakes: Handshakes) { self.handshakes = handshakes }

        deinit { handshakes.underWay.subtract(1, ordering: .relaxed) }

        /// Where to do a step; nil for at once.
        var threads: BlockingPool? {
            handshakes.underWay.load(ordering: .relaxed) > 1 ? handshakes.threads : nil
        }
    }

    func begin() -> Mark {
        underWay.add(1, ordering: .relaxed)
        return Mark(self)
    }
}
