import CLinux
import Glibc
import Synchronization

/// An open descriptor and the duty to close it.
///
/// Closed once: by `close()`, or when the last reference goes. `take()` gives the duty away. May be used from any
/// thread, but a descriptor that is registered with a ``Loop`` must be deregistered there before it is closed, since
/// the number can be somebody else's the moment after.
public final class FileDescriptor: Sendable {
    private static let closed: CInt = -1
    private let number: Atomic<CInt>

    /// Takes ownership of `raw`, which must be open.
    public init(takingOwnership raw: CInt) {
        precondition(raw >= 0, "a descriptor that was never open cannot be owned")
        number = Atomic(raw)
    }

    deinit { close() }

    /// The number, or -1 after `close()` or `take()`.
    public var raw: CInt { number.load(ordering: .relaxed) }

    public var isOpen: Bool { raw >= 0 }

    /// Closes the descriptor. Harmless when it was closed or taken before.
    public func close() {
        let old = number.exchange(Self.closed, ordering: .relaxed)
        if old >= 0 { _ = Glibc.close(old) }
    }

    /// Gives up ownership: the caller must close the number that is returned.
    public func take() -> CInt { number.exchange(Self.closed, ordering: .relaxed) }

    /// Another descriptor for the same open file, close-on-exec.
    public func duplicate() throws(SystemError) -> FileDescriptor {
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemError("duplicate a descriptor") }
        return FileDescriptor(takingOwnership: copy)
    }

    /// Puts the open file (shared with every duplicate of it) into non-blocking mode, or back.
    public func setNonBlocking(_ on: Bool = true) throws(SystemError) {
        let flags = fcntl(raw, F_GETFL)
        guard flags >= 0, fcntl(raw, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) >= 0 else {
            throw SystemError("set O_NONBLOCK")
        }
    }

    /// A lock is tried for half a second in all: a child that its last holder forked has the open file as well, until its
    /// exec closes it, and a busy machine may let that wait.
    private static let lockTries = 100
    private static let lockInterval: useconds_t = 5_000

    /// Locks the open file (flock(2)) until this descriptor and all duplicates of it are closed; the kernel does that when their
    /// processes end, however they end. Blocks for a moment where somebody holds the lock.
    ///
    /// - Returns: false when it is held by who opened the file elsewhere, and does not let go of it in that moment.
    public func lock() throws(SystemError) -> Bool {
        for _ in 0..<Self.lockTries {
            if flock(raw, LOCK_EX | LOCK_NB) == 0 { return true }
            guard errno == EWOULDBLOCK || errno == EINTR else { throw SystemError("lock") }
            usleep(Self.lockInterval)
        }
        return false
    }

    /// Two connected Unix stream sockets: blocking, close-on-exec.
    public static func socketPair() throws(SystemError) -> (FileDescriptor, FileDescriptor) {
        var pair: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            throw SystemError("create a socket pair")
        }
        return (FileDescriptor(takingOwnership: pair[0]), FileDescriptor(takingOwnership: pair[1]))
    }
}
