import ControlProtocol
import Failures
import Glibc
import SocketIO
import TestSupport
import Testing

@testable import ControlServer

@Suite struct ControlListenerTests {
    let folder: TemporaryDirectory
    let path: String

    init() throws {
        folder = try TemporaryDirectory()
        path = folder("run/control.sock")
    }

    func failure(_ path: String) -> Failure? {
        do {
            _ = try ControlListener.binding(path)
            return nil
        } catch {
            return error
        }
    }

    func mode(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    @Test func socketAndFolderArePrivate() throws {
        let listener = try ControlListener.binding(path)
        #expect(mode(path) == 0o600)
        #expect(mode(folder("run")) == 0o700)
        #expect(mode(path + ".lock") == 0o600)
        #expect(listener.path == path)
        listener.removeFile()
        #expect(mode(path) == nil)
    }

    @Test func secondDaemonIsToldWhoHasTheSocketAndTheFirstIsUntouched() throws {
        let first = try ControlListener.binding(path)
        let failure = failure(path)
        #expect(failure?.kind == .daemonRunning)
        #expect(failure?.kind.exitCode == 75)
        #expect(failure?.what == "another eiced (pid \(getpid())) has \(path)")
        let client = try FileDescriptor.socket(AF_UNIX)
        let address = try #require(SocketAddress(unixPath: path))
        #expect(address.withSockaddr { connect(client.raw, $0, $1) } == 0)
        first.removeFile()
        first.unlock()
    }

    @Test func pathIsFreeAgainAfterTheFirstLetGo() throws {
        let first = try ControlListener.binding(path)
        first.removeFile()
        first.unlock()
        let second = try ControlListener.binding(path)
        // The first one's file is gone: it does not remove the second's.
        first.removeFile()
        #expect(mode(path) == 0o600)
        second.removeFile()
    }

    @Test func staleFileIsReplaced() throws {
        do {
            let dead = try ControlListener.binding(path)
            dead.descriptor.close()
            dead.unlock()
        }
        #expect(mode(path) != nil)
        let listener = try ControlListener.binding(path)
        #expect(mode(path) == 0o600)
        listener.removeFile()
    }

    @Test func socketThatSomebodyServesWithoutTheLockIsLeftAlone() throws {
        try folder.makeDirectory("run")
        let address = try #require(SocketAddress(unixPath: path))
        let other = try Listener.bind(to: address)
        let failure = failure(path)
        #expect(failure?.kind == .daemonRunning)
        #expect(failure?.what == "another eiced (pid \(getpid())) has \(path)")
        #expect(mode(path) != nil)
        other.close()
    }

    @Test func fileThatIsNoSocketIsLeftAlone() async throws {
        try folder.makeDirectory("run")
        try folder.write("run/control.sock", "precious")
        #expect(failure(path)?.kind == .cannotListen)
        #expect(contents(of: path) == "precious")
        unlink(path)
        symlink(folder("elsewhere"), path)
        // A child that another test starts holds the lock of the first attempt until its exec.
        try await eventually("the lock is free") { failure(path)?.kind != .daemonRunning }
        #expect(failure(path)?.kind == .cannotListen)
    }

    @Test func lockThatIsALinkIsNotFollowed() throws {
        try folder.makeDirectory("run")
        try folder.write("victim", "precious")
        symlink(folder("victim"), path + ".lock")
        #expect(failure(path)?.kind == .cannotListen)
        #expect(contents(of: folder("victim")) == "precious")
    }

    @Test("a folder that the group or others can write to is refused", arguments: [0o777, 0o770, 0o720, 0o702, 0o1777])
    func folderThatOthersCanWriteTo(mode: mode_t) throws {
        try folder.makeDirectory("shared")
        chmod(folder("shared"), mode)
        let failure = failure(folder("shared/control.sock"))
        #expect(failure?.kind == .configuration)
        #expect(failure?.why == "others can write there, and could replace the socket")
        #expect(self.mode(folder("shared/control.sock")) == nil)
    }

    @Test("a folder that others can only read and enter is accepted")
    func folderThatOthersCanRead() throws {
        try folder.makeDirectory("shared")
        chmod(folder("shared"), 0o755)
        #expect(failure(folder("shared/control.sock")) == nil)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a link away"))
    func aFolderThatIsAnotherUsersLinkIsNotFollowed() throws {
        try folder.makeDirectory("run")
        symlink(folder("run"), folder("link"))
        #expect(failure(folder("link/control.sock")) == nil, "one's own link is as good as a folder")
        lchown(folder("link"), 65_534, 65_534)
        let failure = failure(folder("link/control.sock"))
        #expect(failure?.kind == .configuration)
        #expect(failure?.why == "it is a symbolic link of another user")
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a folder away"))
    func aFolderThatAnotherUserMadeBeforeIsRefused() throws {
        try folder.makeDirectory("run", mode: 0o700)
        chown(folder("run"), 65_534, 65_534)
        #expect(failure(path)?.kind == .configuration)
        #expect(mode(path) == nil && mode(path + ".lock") == nil, "nothing is put there")
    }

    @Test func missingParentAndLongPathAreExplained() {
        #expect(failure(folder("a/b/c.sock"))?.why == "no such file or directory")
        #expect(failure(folder(String(repeating: "x", count: 120)))?.kind == .configuration)
    }

    @Test func adoptedSocketIsNeverRemoved() throws {
        let address = try #require(SocketAddress(unixPath: folder("adopted.sock")))
        let listener = try ControlListener.adopting(try Listener.bind(to: address))
        #expect(listener.path == folder("adopted.sock"))
        listener.removeFile()
        #expect(mode(listener.path) != nil)
    }

    @Test func onlyAListeningUnixSocketIsAdopted() throws {
        let (near, _) = try FileDescriptor.socketPair()
        #expect(throws: Failure.self) { try ControlListener.adopting(near) }
        let address = try #require(SocketAddress(ip: "127.0.0.1", port: 0))
        let tcp = try Listener.bind(to: address)
        #expect(throws: Failure.self) { try ControlListener.adopting(tcp) }
    }
}
