import ControlProtocol
import Glibc
import TestSupport
import Testing

/// A changed configuration: applied as a whole or not at all, and only what changed.
@Suite struct ReloadTests {
    private static func forward(_ name: String, _ local: String, _ more: String = "") -> String {
        "[forwards.\(name)]\ntarget = \"\(Scene.web)\"\nremote_port = 22\nlocal = \(local)\n\(more)\n"
    }

    private static func rewrite(_ scene: Scene, _ text: String) throws {
        try scene.daemon.directory.write("config/eiced/config.toml", "[pool]\nspares = 0\n" + text)
    }

    /// A connection that has its tunnel: what is sent comes back.
    private static func open(_ port: UInt16) async throws -> LoopbackSocket {
        let socket = try await onThread { try LoopbackSocket.connect(port: port) }
        try await ping(socket)
        return socket
    }

    private static func ping(_ socket: LoopbackSocket) async throws {
        let answer = try await onThread {
            try socket.write("ping")
            return try socket.read(exactly: 4)
        }
        #expect(answer == Array("ping".utf8))
    }

    @Test func forwardsMayBeRenamedMovedAndExchangedAndTunnelsOfThoseThatStayGoOn() async throws {
        let echo = try LoopbackServer.echo()
        let (first, second, third) = (try freePort(), try freePort(), try freePort())
        try await Scene.play(
            port: echo.port,
            configuration: Self.forward("one", "\(first)") + Self.forward("two", "\(second)")
                + Self.forward("three", "\(third)") + Self.forward("kept", "0")
        ) { scene in
            let kept = try #require(try await scene.daemon.forwards().first { $0.name == "kept" })
            let tunnels = [
                try await Self.open(first), try await Self.open(second), try await Self.open(try kept.port),
            ]
            let gone = try await Self.open(third)
            try await scene.daemon.waitForTunnels(open: 4)

            // A client a millisecond, whatever happens meanwhile.
            let clients = Clients(of: [first, second, third]) { _ in .milliseconds(1) }
            try Self.rewrite(
                scene,
                Self.forward("one", "\(second)") + Self.forward("two", "\(first)")
                    + Self.forward("renamed", "\(third)") + Self.forward("kept", "0", "warm = 1"))
            let reload = try await scene.daemon.eicectl("reload")
            #expect(reload.output == "added renamed\nchanged kept, one, two\nremoved three\n", "\(reload)")
            #expect(try await clients.stop().refused.isEmpty)

            let places = Dictionary(
                uniqueKeysWithValues: try await scene.daemon.forwards().map { ($0.name, $0.addresses) })
            #expect(places["one"]?.first == "127.0.0.1:\(second)", "\(places)")
            #expect(places["two"]?.first == "127.0.0.1:\(first)", "\(places)")
            #expect(places["renamed"]?.first == "127.0.0.1:\(third)", "\(places)")
            #expect(places["kept"] == kept.addresses, "\(places)")
            for tunnel in tunnels { try await Self.ping(tunnel) }
            // Its own forward went.
            #expect(try await onThread { try gone.readToEndOrReset() }.isEmpty)
            for port in [first, second, third] { _ = try await Self.open(port) }
        }
    }

    /// A socket on all addresses and one on a single address of the same port cannot be bound one after the other.
    @Test func oneAddressAndAllOfThemMayChangePlaces() async throws {
        let echo = try LoopbackServer.echo()
        let (first, second) = (try freePort(), try freePort())
        let one = #"bind = "127.0.0.1""#
        let all = "bind = \"0.0.0.0\"\nallow_remote = true"
        try await Scene.play(
            port: echo.port, configuration: Self.forward("a", "\(first)", one) + Self.forward("b", "\(second)", all)
        ) { scene in
            #expect(try await scene.daemon.forwards().count == 2)
            let tunnels = [try await Self.open(first), try await Self.open(second)]
            let clients = Clients(of: [first, second]) { _ in .milliseconds(1) }
            for (a, b) in [((first, all), (second, one)), ((second, all), (first, one)), ((first, one), (second, all))]
            {
                try Self.rewrite(scene, Self.forward("a", "\(a.0)", a.1) + Self.forward("b", "\(b.0)", b.1))
                let reload = try await scene.daemon.eicectl("reload")
                #expect(reload.code == 0, "\(reload)")
                let places = try await scene.daemon.forwards().flatMap(\.addresses)
                #expect(
                    places == [
                        "\(a.1 == one ? "127.0.0.1" : "0.0.0.0"):\(a.0)",
                        "\(b.1 == one ? "127.0.0.1" : "0.0.0.0"):\(b.0)",
                    ])
                for port in [first, second] { _ = try await Self.open(port) }
            }
            #expect(try await clients.stop().refused.isEmpty)
            for tunnel in tunnels { try await Self.ping(tunnel) }
        }
    }

    @Test func aUnixSocketKeepsItsFileWhenItsForwardIsRenamed() async throws {
        let echo = try LoopbackServer.echo()
        let folder = try TemporaryDirectory()
        let path = folder("s")
        try await Scene.play(port: echo.port, configuration: Self.forward("one", "\"\(path)\"")) { scene in
            for name in ["two", "three"] {
                try Self.rewrite(scene, Self.forward(name, "\"\(path)\""))
                #expect(try await scene.daemon.eicectl("reload").code == 0)
                let socket = try await onThread { try LoopbackSocket.connect(path: path) }
                try await Self.ping(socket)
            }
            try Self.rewrite(scene, "")
            #expect(try await scene.daemon.eicectl("reload").output == "removed three\n")
            #expect(access(path, F_OK) != 0)
        }
    }

    @Test(arguments: ["reload", "SIGHUP"]) func aBrokenFileChangesNothing(by means: String) async throws {
        let port = try freePort()
        try await Scene.play(port: 9, configuration: Self.forward("web", "\(port)")) { scene in
            let before = try await scene.daemon.forwards()
            try Self.rewrite(
                scene,
                Self.forward("db", "0", "remot_port = 3") + "[log]\nlevel = \"loud\"\n[timeouts]\nconnect = \"1d\"\n")
            let mistakes = [
                "config.toml:7:1: forwards.db.remot_port: there is no such key; did you mean remote_port?",
                "config.toml:9:9: log.level: expected one of", "config.toml:11:11: timeouts.connect: expected a length",
            ]
            if means == "reload" {
                let reload = try await scene.daemon.eicectl("reload")
                #expect(reload.code == 78, "\(reload)")
                for mistake in mistakes { #expect(reload.errors.contains(mistake), "\(reload)") }
            } else {
                scene.daemon.process.signal(SIGHUP)
                try await eventually("the log says what is wrong") {
                    mistakes.allSatisfy(scene.daemon.log.contains)
                }
                #expect(scene.daemon.log.contains("the old one stays"))
            }
            #expect(try await scene.daemon.forwards() == before)
        }
    }

    /// The file is right, and cannot be applied as a whole.
    @Test func anAddressThatIsTakenChangesNothing() async throws {
        let echo = try LoopbackServer.echo()
        let (mine, other) = (try freePort(), try freePort())
        try await Scene.play(port: echo.port, configuration: Self.forward("web", "\(mine)")) { scene in
            let before = try await scene.daemon.forwards()
            let moves: [(String, Int32, String)] = [
                // Somebody else listens there; what comes before it in the file is not applied either.
                (
                    Self.forward("a", "\(other)") + Self.forward("web", "\(echo.port)"), 73, "address already in use"
                ),
                // Two of the file's own: one is on both loopback addresses, the other on one of them.
                (
                    Self.forward("a", "\(mine)") + Self.forward("b", "\(mine)", "bind = \"127.0.0.1\""), 78,
                    "listens there already"
                ),
            ]
            for (text, code, why) in moves {
                try Self.rewrite(scene, text)
                let reload = try await scene.daemon.eicectl("reload")
                #expect(reload.code == code, "\(reload)")
                #expect(reload.errors.contains(why), "\(reload)")
                #expect(try await scene.daemon.forwards() == before)
                try await Self.ping(try await Self.open(mine))
                let probe = try? await onThread { try LoopbackSocket.connect(port: other) }
                #expect(probe == nil, "something listens on \(other)")
            }
        }
    }

    @Test("a reload that fails at bind leaves timeouts, profiles, limits and the log level as they were")
    func aReloadThatFailsAtBind() async throws {
        let gate = try makePipe()
        let ssh = try LoopbackServer { connection in
            // The banner comes when the test wants it.
            var byte: UInt8 = 0
            _ = read(gate.read.raw, &byte, 1)
            try connection.write("SSH-2.0-x\r\n")
            _ = try connection.readToEnd()
        }
        let taken = try LoopbackServer.echo()
        let home = try TemporaryDirectory()
        let files = try home.write("config", "[profile work]\nregion = eu-west-1\n")
        @Sendable func settings(_ duration: String, _ limit: Int, _ level: String) -> String {
            """
            [defaults]
            max_duration = "\(duration)"
            [profiles.work]
            idle_timeout = "\(duration)"
            [endpoints."\(Scene.endpoint)"]
            max_connections = \(limit)
            [log]
            level = "\(level)"

            """
        }
        try await Scene.play(
            port: ssh.port, environment: ["AWS_CONFIG_FILE": files],
            timeouts: ["shutdown_drain": "600s", "first_bytes": "60s"], configuration: settings("30m", 7, "notice")
        ) { scene in
            let daemon = scene.daemon
            func limits() async throws -> [Int?] { try await daemon.status().endpoints.map(\.slots.limit) }
            func added(_ name: String) async throws -> [Int?] {
                let forward = try await daemon.add([
                    "10.0.0.1", "22", "--name", name, "--profile", "work", "--endpoint", "eice-1", "--endpoint-dns",
                    "x.invalid",
                ])
                return [forward.maxDuration, forward.idleTimeout]
            }
            func proxy() throws -> ChildProcess {
                try daemon.startEicectl(["proxy", Scene.web, "22", "--stdio"], input: .pipe)
            }
            #expect(try await added("before") == [1_800, 1_800])
            let first = try proxy()
            try await eventually("the target is asked for its banner") { ssh.acceptedCount == 1 }
            #expect(try await limits() == [7])

            let timeouts = "[timeouts]\nshutdown_drain = \"1s\"\nfirst_bytes = \"100ms\"\n"
            let forwards = Self.forward("new", "0") + Self.forward("web", "\(taken.port)")
            try Self.rewrite(scene, timeouts + settings("10m", 3, "debug") + forwards)
            let reload = try await daemon.eicectl("reload")
            #expect(reload.code == 73, "\(reload)")

            #expect(try await added("after") == [1_800, 1_800])
            #expect(try await limits() == [7])
            // A tunnel that begins now waits for its banner for as long as before.
            let second = try proxy()
            try await eventually("the target is asked again") { ssh.acceptedCount == 2 }
            try await letPass(.milliseconds(300))
            #expect(first.exit == nil && second.exit == nil, "\(second.standardError)")
            gate.write.close()
            try await eventually("the banner is there") { second.standardOutput.contains("SSH-2.0-x") }
            #expect(!daemon.log.contains("debug:"))
            #expect(try await daemon.json(ShutdownResult.self, ["shutdown"]).drain == 600)
        }
    }

    @Test func theLogsLevelIsAppliedUnlessTheCommandLineNamedOne() async throws {
        for arguments in [[], ["--log-level", "warning"]] {
            let daemon = try await EicedDaemon.start(
                environment: ["AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "none"],
                configuration: "[log]\nlevel = \"warning\"\n", arguments: arguments)
            #expect(!daemon.log.contains("notice:"))
            try daemon.directory.write("config/eiced/config.toml", "[log]\nlevel = \"notice\"\n")
            #expect(try await daemon.eicectl("reload").code == 0)
            let added = try await daemon.eicectl(
                "add", "10.0.0.1", "22", "--endpoint", "eice-1", "--endpoint-dns", "x.invalid", "--region", "eu-west-1")
            #expect(added.code == 0, "\(added)")
            if arguments.isEmpty {
                try await eventually("notices are logged") { daemon.log.contains("notice: forward added") }
            } else {
                #expect(!daemon.log.contains("notice:"), "\(daemon.log)")
            }
        }
    }
}
