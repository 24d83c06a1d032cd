import ControlProtocol
import Glibc
import TestSupport
import Testing

/// The main job: `ssh` into a private instance, with the real `ssh`, the real `sshd` and real TLS.
@Suite struct MainJobTests {
    @Test func sshAndScpGoThroughAForward() async throws {
        let server = try await SSHServer.start()
        try await Scene.play(port: server.port) { scene in
            let forward = try await scene.add(Scene.web, "--name", "web")
            #expect(forward.name == "web")
            let options = try server.clientOptions()

            let login = try await ChildProcess.run(
                "/usr/bin/ssh", options + ["-p", "\(try forward.port)", "127.0.0.1", "echo hello; exit 7"])
            #expect(login.output == "hello\n", "\(login)")
            #expect(login.code == 7, "\(login)")

            let folder = try TemporaryDirectory()
            try folder.write("sent", String(repeating: "A line of a file of some megabytes.\n", count: 200_000))
            for (from, to) in [
                (folder("sent"), "127.0.0.1:\(folder("there"))"), ("127.0.0.1:\(folder("there"))", folder("back")),
            ] {
                let copy = try await ChildProcess.run(
                    "/usr/bin/scp", options + ["-q", "-P", "\(try forward.port)", from, to])
                #expect(copy.code == 0, "\(copy)")
            }
            let same = try await ChildProcess.run("/usr/bin/cmp", [folder("sent"), folder("back")])
            #expect(same.code == 0, "\(same)")
        }
    }

    @Test(arguments: ["yes", "no"]) func sshGoesThroughProxyCommand(useFdpass: String) async throws {
        let server = try await SSHServer.start()
        try await Scene.play(port: server.port) { scene in
            var environment = scene.daemon.environment
            environment["PATH"] = "/usr/bin:/bin"
            let login = try await ChildProcess.run(
                "/usr/bin/ssh",
                try server.clientOptions() + [
                    "-o", "ProxyCommand=\(BuiltProducts.eicectl) proxy %h %p", "-o", "ProxyUseFdpass=\(useFdpass)",
                    Scene.web, "head -c 3000000 /dev/zero",
                ], environment: environment)
            #expect(login.code == 0, "\(login.errors)\n\(scene.daemon.log)")
            #expect(login.output.utf8.count == 3_000_000)
            // The slot is free again when ssh has gone.
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test func sshThroughProxyCommandSaysWhyATargetIsDead() async throws {
        let server = try await SSHServer.start()
        try await Scene.play(port: server.port) { scene in
            let login = try await ChildProcess.run(
                "/usr/bin/ssh",
                try server.clientOptions() + [
                    "-o", "ProxyCommand=\(BuiltProducts.eicectl) proxy %h %p", "-o", "ProxyUseFdpass=yes", Scene.dead,
                    "true",
                ], environment: scene.daemon.environment)
            #expect(login.code == 255)
            #expect(login.errors.contains("Unable to connect to target"), "\(login)")
            #expect(login.errors.contains(Scene.dead), "\(login)")
        }
    }

    @Test func aForwardListensOnBothLoopbackFamiliesWithOnePort() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add()
            #expect(forward.addresses.count == 2, "\(forward.addresses)")
            for family in LoopbackSocket.Family.allCases {
                let socket = try await Scene.connect(forward, family: family)
                let answer = try await onThread {
                    try socket.write("ping")
                    return try socket.readText()
                }
                #expect(answer == "ping")
            }
        }
    }

    @Test func aForwardCanListenOnAUnixSocketPath() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let path = scene.daemon.directory("web.sock")
            let forward = try await scene.daemon.add([Scene.web, "22:\(path)"])
            #expect(forward.addresses == [path])
            var facts = stat()
            #expect(lstat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
            let answer = try await onThread {
                let socket = try LoopbackSocket.connect(path: path)
                try socket.write("ping")
                return try socket.readText()
            }
            #expect(answer == "ping")

            let removed = try await scene.daemon.eicectl("rm", forward.name)
            #expect(removed.code == 0, "\(removed)")
            #expect(access(path, F_OK) != 0, "the socket file is left behind")
        }
    }

    @Test func aPortOfOnesChoiceIsTheOneThatListens() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let port = try freePort()
            let forward = try await scene.daemon.add([Scene.web, "22:\(port)"])
            #expect(try forward.port == port)
            let text = try await scene.daemon.eicectl("ls")
            #expect(text.output.contains("127.0.0.1:\(port)"), "\(text)")
        }
    }

    @Test func statusShowsWhatIsOpenAndCloseEndsIt() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add(Scene.web, "--name", "web")
            let sockets = [try await Scene.connect(forward), try await Scene.connect(forward)]
            for socket in sockets {
                let answer = try await onThread {
                    try socket.write("12345")
                    return try socket.read(exactly: 5)
                }
                #expect(answer.count == 5)
            }
            try await scene.daemon.waitForTunnels(open: 2)
            let status = try await scene.daemon.status()
            #expect(status.pid == Int(scene.daemon.process.pid))
            #expect(status.forwards.map(\.name) == ["web"])
            #expect(status.forwards.first?.tunnels == 2)
            #expect(status.endpoints.map(\.id) == [Scene.endpoint])
            #expect(status.endpoints.first?.slots == EndpointInfo.Slots(inUse: 2, cap: 20, limit: 20, warm: 0))
            let tunnel = try #require(status.tunnels.first)
            #expect(tunnel.address == Scene.webAddress && tunnel.endpoint == Scene.endpoint)
            #expect(tunnel.bytesLocalToRemote == 5 && tunnel.bytesRemoteToLocal == 5)
            #expect(tunnel.requestID != nil, "AWS's request id is what CloudTrail is searched by")
            #expect(tunnel.expiresAt != nil)
            let endpoints = try await scene.daemon.json(EndpointListResult.self, ["endpoints"])
            #expect(endpoints.endpoints.first?.slots.inUse == 2)

            let closed = try await scene.daemon.eicectl("close", tunnel.id)
            #expect(closed.code == 0, "\(closed)")
            try await scene.daemon.waitForTunnels(open: 1)

            let removed = try await scene.daemon.eicectl("rm", "web")
            #expect(removed.code == 0, "\(removed)")
            try await scene.daemon.waitForTunnels(open: 0)
            // The end, or a reset: it was cut off.
            for socket in sockets { #expect(try await onThread { try socket.readToEndOrReset() }.isEmpty) }
            let port = try forward.port
            #expect(throws: (any Error).self) { try LoopbackSocket.connect(port: port) }
            #expect(try await scene.daemon.forwards().isEmpty)
        }
    }

    @Test func anUnknownForwardOrTunnelIs68AndHarmsNoOther() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            try await scene.add(Scene.web, "--name", "web")
            let removed = try await scene.daemon.eicectl("rm", "web", "nobody")
            #expect(removed.code == 68, "\(removed)")
            #expect(removed.errors.contains("nobody"))
            let closed = try await scene.daemon.eicectl("close", "t999")
            #expect(closed.code == 68, "\(closed)")
            #expect(try await scene.daemon.forwards().map(\.name) == ["web"], "all or nothing")
        }
    }

    @Test func aNameThatIsTakenIs65() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            try await scene.add(Scene.web, "--name", "web")
            let again = try await scene.daemon.eicectl("add", Scene.dead, "22", "--name", "web")
            #expect(again.code == 65, "\(again)")
            #expect(try await scene.daemon.forwards().map(\.target) == [Scene.web])
        }
    }

    @Test func temporaryCredentialsAreSentWithTheirToken() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port, emulator: ["--session-token"]) { scene in
            #expect(scene.emulator.environment["AWS_SESSION_TOKEN"] != nil)
            try await expectEcho(scene, through: try await scene.add())
        }
    }

    @Test func aProfileOfTheSharedFilesIsUsed() async throws {
        let greeter = try LoopbackServer.greeter()
        let keys = ["AWS_ACCESS_KEY_ID": String?.none, "AWS_SECRET_ACCESS_KEY": nil]
        let folder = try TemporaryDirectory("aws")
        let files = ["AWS_SHARED_CREDENTIALS_FILE": folder("credentials"), "AWS_CONFIG_FILE": folder("config")]
        let environment = keys.merging(files.mapValues(Optional.some)) { $1 }
        try await Scene.play(port: greeter.port, environment: environment) { scene in
            let secrets = scene.emulator.environment
            try folder.write(
                "credentials",
                """
                [work]
                aws_access_key_id = \(secrets["AWS_ACCESS_KEY_ID"] ?? "")
                aws_secret_access_key = \(secrets["AWS_SECRET_ACCESS_KEY"] ?? "")
                """)
            try folder.write("config", "[profile work]\nregion = eu-west-1\n")
            let named = try await scene.add(Scene.web, "--profile", "work")
            let socket = try await Scene.connect(named)
            #expect(try await onThread { try socket.readText() }.hasPrefix("SSH-2.0"), "\(scene.daemon.log)")
            #expect(try await scene.daemon.forwards().first?.profile == "work")

            // The caller's AWS_PROFILE becomes part of the request.
            let proxied = try await scene.daemon.eicectl(
                "proxy", Scene.web, "22", "--stdio", environment: ["AWS_PROFILE": "work"])
            #expect(proxied.code == 0, "\(proxied)")
            // Neither is there for one who names no profile.
            let without = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(without.code == 78, "\(without)")
        }
    }

    @Test func pinnedToAnEndpointAndAnAddressNothingIsLookedUp() async throws {
        let echo = try LoopbackServer.echo()
        // The EC2 API leads nowhere, so that a look-up would fail.
        let nowhere = "https://127.0.0.1:\(try freePort())"
        try await Scene.play(port: echo.port, environment: ["AWS_ENDPOINT_URL_EC2": nowhere]) { scene in
            let name = "\(Scene.endpoint).ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"
            let forward = try await scene.add(
                Scene.webAddress, "--endpoint", Scene.endpoint, "--endpoint-dns", name)
            try await expectEcho(scene, through: forward)
        }
    }

    @Test func versionReloadAndShutdownAnswer() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let version = try await scene.daemon.eicectl("version")
            #expect(version.code == 0 && version.output.contains(EICEDVersion.current), "\(version)")
            let reload = try await scene.daemon.eicectl("reload")
            #expect(reload.code == 0, "\(reload)")
            let shutdown = try await scene.daemon.eicectl("shutdown")
            #expect(shutdown.code == 0, "\(shutdown)")
            #expect(try await scene.daemon.process.exit() == .code(0))
            #expect(access(scene.daemon.socket, F_OK) != 0, "the control socket is left behind")
        }
    }
}

/// Sends a little through `forward` and expects it back.
func expectEcho(_ scene: Scene, through forward: ForwardInfo) async throws {
    let socket = try await Scene.connect(forward)
    let answer = try await onThread {
        try socket.write("ping")
        return try socket.readText()
    }
    #expect(answer == "ping", "\(scene.daemon.log)")
}
