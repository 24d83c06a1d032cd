import Glibc
import TestSupport
import Testing

/// What cannot be listened on is said at once, with 73, and nothing is added.
@Suite struct ListenTests {
    @Test func aPortInUseIsNamedAtOnceAndNothingIsAdded() async throws {
        let taken = try LoopbackServer.discard()
        try await Scene.play(port: taken.port) { scene in
            let result = try await scene.daemon.eicectl("add", Scene.web, "22:\(taken.port)")
            #expect(result.code == 73, "\(result)")
            #expect(result.errors.contains("\(taken.port)") && result.errors.contains("in use"), "\(result)")
            // All or nothing: the good half of a request is not added either.
            let both = try await scene.daemon.eicectl("add", Scene.web, "22", "3389:\(taken.port)")
            #expect(both.code == 73, "\(both)")
            #expect(try await scene.daemon.forwards().isEmpty)
        }
    }

    @Test func anAddressThatIsNotOfThisHostIs73() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            // RFC 5737: an address for documentation, which no host has.
            let result = try await scene.daemon.eicectl(
                "add", Scene.web, "22", "--bind", "192.0.2.77", "--allow-remote")
            #expect(result.code == 73, "\(result)")
            #expect(result.errors.contains("192.0.2.77"), "\(result)")
            #expect(try await scene.daemon.forwards().isEmpty)
        }
    }

    @Test func anAddressBeyondLoopbackNeedsToBeAskedFor() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let result = try await scene.daemon.eicectl("add", Scene.web, "22", "--bind", "0.0.0.0")
            #expect(result.code != 0 && result.errors.contains("--allow-remote"), "\(result)")
            #expect(try await scene.daemon.forwards().isEmpty)
            let allowed = try await scene.daemon.eicectl("add", Scene.web, "22", "--bind", "0.0.0.0", "--allow-remote")
            #expect(allowed.code == 0 && allowed.errors.contains("warning: other hosts can reach"), "\(allowed)")
            #expect(try await scene.daemon.forwards().first?.remoteAllowed == true)
        }
    }

    @Test func aPathThatIsTooLongForAUnixSocketIs73() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let path = scene.daemon.directory(String(repeating: "x", count: 120))
            let result = try await scene.daemon.eicectl("add", Scene.web, "22:\(path)")
            #expect(result.code == 73, "\(result)")
            #expect(try await scene.daemon.forwards().isEmpty)
        }
    }

    @Test func aPathInAFolderThatIsNotThereIs73() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let result = try await scene.daemon.eicectl("add", Scene.web, "22:/nonexistent/web.sock")
            #expect(result.code == 73, "\(result)")
            #expect(result.errors.contains("/nonexistent/web.sock"), "\(result)")
        }
    }

    /// Ports below this one need a privilege.
    static let firstOpenPort =
        contents(of: "/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .flatMap { Int($0.split(separator: "\n").first ?? "") } ?? 1024

    @Test(.enabled(if: ListenTests.firstOpenPort > 81, "this host lets everyone listen on port 81"))
    func aPrivilegedPortIsRefusedWithItsReason() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let environment = try EicedDaemon.environment(in: directory)
            // Root is an ordinary user here, without the one capability.
            let prefix = geteuid() == 0 ? ["/usr/bin/setpriv", "--bounding-set", "-net_bind_service", "--"] : []
            let command = prefix + [BuiltProducts.eiced]
            let daemon = try ChildProcess(
                command[0], Array(command.dropFirst()), environment: environment, diesWithParent: true)
            let path = directory("run/eiced/control.sock")
            try await eventually("eiced answers") {
                if daemon.exit != nil { throw TestFailure(daemon.standardError) }
                return (try? LoopbackSocket.connect(path: path)) != nil
            }
            let result = try await ChildProcess.run(
                BuiltProducts.eicectl, ["add", Scene.web, "22:81"], environment: environment)
            #expect(result.code == 73, "\(result)")
            #expect(result.errors.contains("81") && result.errors.contains("permission"), "\(result)")
        }
    }

    @Test(arguments: ["notaport", "22:99999", "0:22", "70000", ""])
    func aMappingThatIsNoneIsAUsageError(mapping: String) async throws {
        let directory = try TemporaryDirectory()
        let result = try await ChildProcess.run(
            BuiltProducts.eicectl, ["add", Scene.web, mapping], environment: EicedDaemon.environment(in: directory))
        #expect(result.code == 64, "\(result)")
    }
}
