import Glibc
import SocketIO
import TestSupport
import Testing

@Suite struct FileLockTests {
    private let folder: TemporaryDirectory
    private let path: String

    init() throws {
        folder = try TemporaryDirectory("lock")
        path = try folder.write("lock", "")
    }

    private func file() throws -> FileDescriptor {
        let raw = open(path, O_RDWR | O_CLOEXEC)
        guard raw >= 0 else { throw SystemError("open \(path)") }
        return FileDescriptor(takingOwnership: raw)
    }

    @Test func whoComesSecondIsToldSo() throws {
        let (first, second) = (try file(), try file())
        #expect(try first.lock())
        #expect(try first.lock())
        #expect(try !second.lock())
        first.close()
        #expect(try second.lock())
    }

    /// As when the holder was killed while it started another program. The thread that closes needs longer to begin than the first
    /// try takes, nearly always.
    @Test func aForkedChildThatStillHasTheFileIsWaitedFor() async throws {
        for _ in 0..<20 {
            let (first, second) = (try file(), try file())
            #expect(try first.lock())
            let child = try first.duplicate()
            first.close()
            // One after the other from one thread: a task could have to wait for longer than a lock is tried.
            let isLocked = try await onThread {
                startThread { child.close() }
                return try second.lock()
            }
            #expect(isLocked)
        }
    }

    @Test func whatCannotBeLockedIsAnError() throws {
        let closed = try file()
        closed.close()
        #expect(throws: SystemError("lock", code: EBADF)) { try closed.lock() }
    }
}
