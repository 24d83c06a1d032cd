import Glibc
import TestSupport
import Testing

/// `eicectl ssh-config`, as the real ssh reads it.
@Suite struct SSHConfigTests {
    /// What ssh would do for a host by this configuration.
    private func settings(of host: String, by file: String) async throws -> [String: String] {
        let result = try await ChildProcess.run("/usr/bin/ssh", ["-G", "-F", file, host])
        guard result.code == 0 else { throw TestFailure(result.description) }
        var settings: [String: String] = [:]
        for line in result.output.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            if parts.count == 2 { settings[String(parts[0])] = String(parts[1]) }
        }
        return settings
    }

    @Test func sshReadsItAsItIsMeant() async throws {
        try await Scene.play(port: 9) { scene in
            let web = try await scene.add(Scene.web, "--name", "web")
            // Its name is like an instance's id, and the pattern for those must not apply.
            try await scene.add("web", "--name", "i-0123-22")
            let printed = try await scene.daemon.eicectl("ssh-config")
            #expect(printed.code == 0, "\(printed)")
            let file = try scene.daemon.directory.write("ssh_config", printed.output)

            let forward = try await settings(of: "web.forward", by: file)
            #expect(forward["hostname"] == "127.0.0.1")
            #expect(forward["port"] == "\(try web.port)")
            #expect(forward["hostkeyalias"] == Scene.web)
            #expect(forward["proxycommand"] ?? "none" == "none")
            let other = try await settings(of: "i-0123-22.forward", by: file)
            #expect(other["hostkeyalias"] == "i-0123-22.forward")
            #expect(other["proxycommand"] ?? "none" == "none")
            for host in [Scene.web, "web-1.eice"] {
                let instance = try await settings(of: host, by: file)
                #expect(instance["proxycommand"]?.hasSuffix("eicectl proxy %h %p") == true, "\(instance)")
                #expect(instance["proxyusefdpass"] == "yes")
                // ssh_config(5) expands no %h in HostKeyAlias; without one the key is kept by the name that was typed.
                #expect(instance["hostkeyalias"] == nil)
            }
            #expect(try await settings(of: "example.org", by: file)["proxyusefdpass"] == "no")
        }
    }

    /// The user's own file, as ssh finds it: in the home that the account has, whatever HOME says. A mount of our own puts a
    /// temporary one there.
    @Test(.enabled("this host lets us make no mount namespace") { try await mayMount.value })
    func anInstalledBlockWorksForARealSSH() async throws {
        let server = try await SSHServer.start()
        try await Scene.play(port: server.port) { scene in
            let forward = try await scene.add(Scene.web, "--name", "web")
            let home = try scene.daemon.directory.makeDirectory("home")
            try scene.daemon.directory.makeDirectory("home/.ssh")
            let own = """
                Host *
                    User \(server.user)
                    IdentityFile \(server.identity)
                    IdentitiesOnly yes
                    IdentityAgent none
                    BatchMode yes
                    StrictHostKeyChecking accept-new
                    GlobalKnownHostsFile /dev/null
                    HashKnownHosts no

                """
            try scene.daemon.directory.write("home/.ssh/config", own)
            // Somebody else was behind this address once.
            let other = try await SSHServer.start()
            try scene.daemon.directory.write(
                "home/.ssh/known_hosts", "[127.0.0.1]:\(try forward.port) \(other.hostKey)\n")
            let installed = try await scene.daemon.eicectl("ssh-config", "--install")
            #expect(installed.code == 0, "\(installed)")
            #expect(installed.output.contains("web.forward"), "\(installed)")

            @Sendable func ssh(_ host: String) async throws -> CommandResult {
                let script = """
                    mount --bind '\(home)' "$(getent passwd \(geteuid()) | cut -d: -f6)" && exec ssh \(host) echo in
                    """
                return try await ChildProcess.run(
                    "/usr/bin/unshare", ["--mount", "--map-root-user", "sh", "-c", script],
                    environment: scene.daemon.environment)
            }
            for host in ["web.forward", Scene.web, "web.eice"] {
                let login = try await ssh(host)
                #expect(login.output == "in\n", "\(login)")
            }
            // The forward's key is the instance's: two names, and no address but the one that was there.
            let known = try #require(contents(of: scene.daemon.directory("home/.ssh/known_hosts")))
            let names = known.split(separator: "\n").compactMap { $0.split(separator: " ").first }
            #expect(names == ["[127.0.0.1]:\(try forward.port)", Scene.web[...], "web.eice"], "\(known)")
            // Without the alias ssh would have raised an alarm.
            let bare = try await ssh("-p \(try forward.port) 127.0.0.1")
            #expect(bare.errors.contains("REMOTE HOST IDENTIFICATION HAS CHANGED"), "\(bare)")
        }
    }

    private static let mayMount = Task { () throws -> Bool in
        try await ChildProcess.run(
            "/usr/bin/unshare", ["--mount", "--map-root-user", "mount", "--bind", "/tmp", "/mnt"]
        ).code == 0
    }
}
