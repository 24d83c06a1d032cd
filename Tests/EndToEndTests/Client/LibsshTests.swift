import Glibc
import TestSupport
import Testing

/// Clients that give `eicectl proxy` one socket pair as stdin and stdout and do not take a descriptor.
@Suite struct LibsshTests {
    /// The ProxyCommand of the generated block.
    private static func proxyCommand(_ scene: Scene) async throws -> String {
        let printed = try await scene.daemon.eicectl("ssh-config")
        let words = "ProxyCommand "
        let line = try #require(
            printed.output.split(separator: "\n").first { $0.contains("\(words)") && $0.contains("%h") })
        return String(line.split(separator: words, maxSplits: 1)[1])
    }

    private static func variables(_ scene: Scene) -> String {
        scene.daemon.environment.map { "os.environ['\($0.key)'] = '\($0.value)'\n" }.joined()
    }

    @Test(
        "real libssh runs commands through the generated configuration",
        .enabled("ansible-pylibssh cannot be had") { try await Python.has("pylibsshext.session") }
    ) func realLibssh() async throws {
        let server = try await SSHServer.start()
        try await Scene.play(port: server.port) { scene in
            let script = """
                import os
                \(Self.variables(scene))
                from pylibsshext.session import Session
                for _ in range(3):
                    session = Session()
                    session.connect(host="\(Scene.web)", port=22, user="\(server.user)", timeout=60,
                        proxycommand="\(try await Self.proxyCommand(scene))", host_key_checking=False,
                        private_key=open("\(server.identity)", "rb").read())
                    result = session.new_channel().exec_command("head -c 3000000 /dev/zero | wc -c")
                    print(result.stdout.decode().strip(), result.returncode)
                    session.close()
                """
            let printed = try await Python.run(try scene.daemon.directory.write("client.py", script))
            #expect(printed == "3000000 0\n3000000 0\n3000000 0\n")
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test(
        "a client that is not OpenSSH gets bytes and no descriptor, however it reads",
        arguments: [
            "client.recvmsg(4096, 1024)[:2]", "(client.recv(4096), [])", "(os.read(client.fileno(), 4096), [])",
        ])
    func oneSocketPair(_ read: String) async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            let command = try await Self.proxyCommand(scene)
                .replacing("%h", with: Scene.web).replacing("%p", with: "22")
            let script = """
                import os, socket, subprocess
                \(Self.variables(scene))
                client, theirs = socket.socketpair()
                proxy = subprocess.Popen(["/bin/sh", "-c", "exec \(command)"], stdin=theirs, stdout=theirs)
                theirs.close()
                data, passed = \(read)
                print(data[:4].decode(), len(passed))
                client.close()
                proxy.wait()
                """
            let printed = try await Python.run(try scene.daemon.directory.write("client.py", script))
            #expect(printed == "SSH- 0\n")
        }
    }

    /// Where /proc does not say who made the socket pair, both kinds of client are served.
    @Test(
        "OpenSSH and others are served without /proc",
        .enabled("this host lets us make no mount namespace, or only as another user") { try await mayHideProc.value }
    ) func withoutProc() async throws {
        let server = try await SSHServer.start()
        try await Scene.play(port: server.port) { scene in
            let hidden = try scene.daemon.directory.write(
                "hidden",
                "#!/bin/sh\nexec unshare --mount sh -c 'mount -t tmpfs none /proc && exec \"$@\"' sh \(BuiltProducts.eicectl) \"$@\"\n",
                mode: 0o700)
            let login = try await ChildProcess.run(
                "/usr/bin/ssh",
                try server.clientOptions() + [
                    "-o", "ProxyCommand=\(hidden) proxy %h %p", "-o", "ProxyUseFdpass=yes", Scene.web,
                    "head -c 3000000 /dev/zero",
                ], environment: scene.daemon.environment)
            #expect(login.code == 0 && login.output.utf8.count == 3_000_000, "\(login.errors)")
            let script = """
                import os, socket, subprocess
                \(Self.variables(scene))
                client, theirs = socket.socketpair()
                proxy = subprocess.Popen(["\(hidden)", "proxy", "\(Scene.web)", "22"], stdin=theirs, stdout=theirs)
                theirs.close()
                data = b""
                while not data.endswith(b"\\n"): data += client.recv(1)
                # The server's answer to a wrong banner comes through the same stream.
                client.sendall(b"nonsense\\r\\n")
                while True:
                    more = client.recv(4096)
                    if not more: break
                    data += more
                print(data.decode().strip())
                """
            let printed = try await Python.run(try scene.daemon.directory.write("client.py", script))
            #expect(
                printed.hasPrefix("SSH-2.0-") && printed.contains("Invalid SSH identification string"), "\(printed)")
        }
    }

    private static let mayHideProc = Task { () throws -> Bool in
        guard geteuid() == 0 else { return false }
        return try await ChildProcess.run(
            "/usr/bin/unshare", ["--mount", "mount", "-t", "tmpfs", "none", "/proc"]
        ).code == 0
    }
}
