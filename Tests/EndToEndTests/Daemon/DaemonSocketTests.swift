import CLinux
import Glibc
import SocketIO
import TestSupport
import Testing

/// The control socket: who answers on it, and what becomes of it.
@Suite struct DaemonSocketTests {
    @Test func withoutADaemonEveryCommandIs69AndSaysWhatToDo() async throws {
        let directory = try TemporaryDirectory()
        let environment = try EicedDaemon.environment(in: directory)
        for arguments in [["ls"], ["status"], ["add", Scene.web, "22"], ["proxy", Scene.web, "22"], ["shutdown"]] {
            let result = try await ChildProcess.run(BuiltProducts.eicectl, arguments, environment: environment)
            #expect(result.code == 69, "\(result)")
            #expect(result.output.isEmpty, "\(result)")
            #expect(result.errors.contains("error:") && result.errors.contains("hint:"), "\(result)")
            #expect(result.errors.contains(directory("run/eiced/control.sock")), "\(result)")
        }
    }

    @Test func aSocketWithoutAnyoneBehindItIs69() async throws {
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start()
            daemon.process.kill()
            try await daemon.process.exit()
            #expect(access(daemon.socket, F_OK) == 0, "a killed daemon leaves its socket")
            let result = try await daemon.eicectl("ls")
            #expect(result.code == 69, "\(result)")
        }
    }

    @Test func aStaleSocketIsReplaced() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let first = try await EicedDaemon.start(in: directory)
            first.process.kill()
            try await first.process.exit()
            let second = try await EicedDaemon.start(in: directory)
            let result = try await second.eicectl("ls")
            #expect(result.code == 0, "\(result)")
        }
    }

    @Test func aFileThatIsNoSocketIsNotReplaced() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            try directory.makeDirectory("run")
            try directory.makeDirectory("run/eiced")
            let file = try directory.write("run/eiced/control.sock", "somebody's data")
            let daemon = try EicedDaemon(environment: [:], configuration: nil, arguments: [], directory: directory)
            let exit = try await daemon.process.exit()
            #expect(exit != .code(0), "\(daemon.log)")
            #expect(daemon.log.contains(file))
            #expect(contents(of: file) == "somebody's data")
        }
    }

    @Test func theSecondDaemonSaysWhoHasTheSocketAndLeavesTheFirstAlone() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let first = try await EicedDaemon.start(in: directory)
            let second = try EicedDaemon(environment: [:], configuration: nil, arguments: [], directory: directory)
            #expect(try await second.process.exit() == .code(75), "\(second.log)")
            #expect(second.log.contains("\(first.process.pid)"), "\(second.log)")
            #expect(second.log.contains(first.socket), "\(second.log)")
            let result = try await first.eicectl("ls")
            #expect(result.code == 0, "\(result)")
        }
    }

    @Test func theSocketIsItsOwnersAlone() async throws {
        try await Scene.alone { daemon in
            var facts = stat()
            #expect(lstat(daemon.socket, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
            #expect(lstat(daemon.directory("run/eiced"), &facts) == 0 && facts.st_mode & 0o777 == 0o700)
        }
    }

    @Test func anotherPathCanBeNamed() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let path = directory("other.sock")
            let daemon = try EicedDaemon(
                environment: [:], configuration: nil, arguments: ["--socket", path], directory: directory)
            try await eventually("eiced answers") { (try? LoopbackSocket.connect(path: path)) != nil }
            let result = try await daemon.eicectl("ls", environment: ["EICED_SOCKET": path])
            #expect(result.code == 0, "\(result)")
        }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root, to be two users"))
    func aDaemonOfAnotherUserIs77() async throws {
        let directory = try TemporaryDirectory()
        #expect(chmod(directory.path, 0o711) == 0)
        let place = try directory.makeDirectory("place", mode: 0o777)
        chmod(place, 0o777)
        let path = "\(place)/control.sock"
        let stranger = try ChildProcess(
            "/usr/bin/setpriv", ["--reuid", "65534", "--clear-groups", "/usr/bin/nc", "-lkU", path],
            environment: ["PATH": "/usr/bin:/bin"])
        try await eventually("the stranger listens") { access(path, F_OK) == 0 }
        let environment = try EicedDaemon.environment(in: directory).merging(["EICED_SOCKET": path]) { $1 }
        let result = try await ChildProcess.run(BuiltProducts.eicectl, ["ls"], environment: environment)
        #expect(result.code == 77, "\(result)")
        #expect(stranger.standardOutput.isEmpty, "nothing is said to a stranger")
    }

    @Test(.enabled(if: geteuid() == 0, "needs root, to be two users"))
    func aClientOfAnotherUserIsClosedBeforeItIsHeard() async throws {
        try await Scene.alone { daemon in
            // As open as a careless person could make it: the folder and the socket for everyone.
            for path in [daemon.directory.path, daemon.directory("run"), daemon.directory("run/eiced")] {
                chmod(path, 0o755)
            }
            chmod(daemon.socket, 0o666)
            let hello = #"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":{"major":1,"minor":0}}}"#
            let stranger = try await ChildProcess.run(
                "/usr/bin/setpriv",
                [
                    "--reuid", "65534", "--clear-groups", "/bin/sh", "-c",
                    "echo '\(hello)' | nc -U -w 10 '\(daemon.socket)'",
                ])
            #expect(stranger.output.isEmpty, "\(stranger)")
            try await eventually("it was there, and was not heard") {
                daemon.log.contains("closed a control session of another user") && daemon.log.contains("65534")
            }
            let result = try await daemon.eicectl("ls")
            #expect(result.code == 0, "\(result)")
        }
    }

    @Test func aSocketThatSystemdPassedIsAdoptedAndNeverUnlinked() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let environment = try EicedDaemon.environment(in: directory)
            let path = directory("activated.sock")
            let activator = try ChildProcess(
                "/usr/bin/systemd-socket-activate",
                ["--listen", path, "--fdname", "control"]
                    + environment.map { "--setenv=\($0.key)=\($0.value)" } + [BuiltProducts.eiced],
                environment: environment, diesWithParent: true)
            try await eventually("the socket is there") { access(path, F_OK) == 0 }
            let client = environment.merging(["EICED_SOCKET": path]) { $1 }
            let result = try await ChildProcess.run(BuiltProducts.eicectl, ["status"], environment: client)
            #expect(result.code == 0, "\(result)\n\(activator.standardError)")
            let shutdown = try await ChildProcess.run(BuiltProducts.eicectl, ["shutdown"], environment: client)
            #expect(shutdown.code == 0, "\(shutdown)")
            #expect(try await activator.exit() == .code(0))
            #expect(access(path, F_OK) == 0, "an adopted socket belongs to systemd")
        }
    }

    @Test func readinessIsToldToTheServiceManager() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let notifications = try NotificationSocket(path: directory("notify"))
            let daemon = try EicedDaemon(
                environment: ["NOTIFY_SOCKET": directory("notify")], configuration: nil, arguments: [],
                directory: directory)
            try await eventually("READY=1 is sent") {
                notifications.receive()
                return notifications.text.contains("READY=1")
            }
            // Ready means that the first command works.
            let result = try await daemon.eicectl("ls")
            #expect(result.code == 0, "\(result)")
            daemon.process.signal(SIGTERM)
            #expect(try await daemon.process.exit() == .code(0))
            notifications.receive()
            #expect(notifications.text.contains("STOPPING=1"))
        }
    }
}

/// What a service manager listens on: sd_notify(3).
private final class NotificationSocket {
    private(set) var text = ""
    private let descriptor: FileDescriptor

    init(path: String) throws {
        let raw = socket(
            AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        descriptor = FileDescriptor(takingOwnership: raw)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let code = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0 else { throw SystemError("bind \(path)") }
    }

    /// Takes what has come.
    func receive() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor.raw, &buffer, buffer.count, 0)
            if count <= 0 { return }
            text += String(decoding: buffer[..<count], as: UTF8.self) + "\n"
        }
    }
}
