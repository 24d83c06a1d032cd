import CLinux
import CTestProcess
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import ServiceManager

@Suite struct AdoptedSocketsTests {
    private func descriptor() throws -> FileDescriptor {
        let raw = dup(STDIN_FILENO)
        try #require(raw >= 0)
        return FileDescriptor(takingOwnership: raw)
    }

    @Test func socketsAreFoundByNameAndInOrder() throws {
        let (a, b, c, d) = (try descriptor(), try descriptor(), try descriptor(), try descriptor())
        var sockets = AdoptedSockets(descriptors: [a, b, c, d], names: ["control", "f.db.4", "control"])
        #expect(sockets.names == ["control", "f.db.4", "unknown"])
        #expect(sockets.remove(named: "control").map(\.raw) == [a.raw, c.raw])
        #expect(sockets.remove(named: "control").isEmpty)
        #expect(sockets.remove(named: "unknown").map(\.raw) == [d.raw])
        #expect(!sockets.isEmpty && sockets.names == ["f.db.4"])
        #expect(AdoptedSockets().isEmpty)
    }

    @Test("sockets from the service manager are taken once and hidden from children")
    func socketsAreTakenOnceAndHiddenFromChildren() async {
        // A process of its own: descriptors 3 and 4 and the environment are changed.
        await #expect(processExitsWith: .exitCode(0)) {
            // And one with this thread alone: the runner's others open and close descriptors that may have such a number.
            let child = test_fork()
            if child == 0 { _exit(takePassedSockets()) }
            var status: CInt = 0
            guard waitpid(child, &status, 0) == child else { exit(50) }
            exit(status & 0x7F == 0 ? status >> 8 : 51)
        }
    }
}

/// Passes two sockets to this process as a service manager does, and takes them.
///
/// - Returns: 0, or the number of the first step that failed.
private func takePassedSockets() -> CInt {
    var ends: [CInt] = [0, 0]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { return 1 }
    let copies = ends.map { fcntl($0, F_DUPFD, 100) }
    guard dup2(copies[0], 3) == 3, dup2(copies[1], 4) == 4 else { return 2 }
    setenv("LISTEN_PID", "\(getpid())", 1)
    setenv("LISTEN_FDS", "2", 1)
    setenv("LISTEN_FDNAMES", "f.db.4:control", 1)
    guard var sockets = try? AdoptedSockets.take() else { return 3 }
    let control = sockets.remove(named: "control")
    guard control.map(\.raw) == [4], sockets.names == ["f.db.4"] else { return 4 }
    guard fcntl(3, F_GETFD) & FD_CLOEXEC != 0, fcntl(4, F_GETFD) & FD_CLOEXEC != 0 else { return 5 }
    guard getenv("LISTEN_FDS") == nil, getenv("LISTEN_PID") == nil, getenv("LISTEN_FDNAMES") == nil else { return 6 }
    guard let again = try? AdoptedSockets.take(), again.isEmpty else { return 7 }
    return 0
}
