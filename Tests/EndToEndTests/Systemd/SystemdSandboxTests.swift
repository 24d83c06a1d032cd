import ControlProtocol
import TestSupport
import Testing

/// What the sandbox of the unit keeps away, seen from inside; and that nothing that is needed is missing.
@Suite(.enabled("no box for systemd can be made on this machine") { try await SystemdBox.canBeMade })
struct SystemdSandboxTests {
    /// A service with the same drop-in, which looks around.
    private static let probe = [
        "/etc/systemd/user/probe.service": """
        [Service]
        Type=oneshot
        ExecStart=/bin/sh /usr/share/probe.sh
        """,
        "/usr/share/probe.sh": #"""
        exec > ~/.local/state/eiced/seen
        try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name yes"; else echo "$name no"; fi; }
        try read-ssh cat ~/.ssh/id
        try read-aws cat ~/.aws/config
        try write-aws sh -c 'mkdir -p ~/.aws/sso/cache && echo token > ~/.aws/sso/cache/token'
        try write-home touch ~/file
        try read-configuration cat ~/.config/eiced/config.toml
        try write-configuration touch ~/.config/eiced/other
        try write-state touch ~/.local/state/eiced/file
        try write-usr touch /usr/file
        try write-etc touch /etc/file
        try other-sockets test -S "$XDG_RUNTIME_DIR/systemd/private"
        try devices test -e /dev/loop-control
        try user-namespace unshare --user true
        try write-and-execute perl -e 'exit(syscall(9, 0, 4096, 6, 0x22, -1, 0) == -1)'
        try write-memory perl -e 'exit(syscall(9, 0, 4096, 3, 0x22, -1, 0) == -1)'
        try packet-socket perl -e 'socket(my $s, 17, 3, 0) or exit 1'
        try netlink-socket perl -e 'socket(my $s, 16, 3, 0) or exit 1'
        try mount-call perl -e 'exit(syscall(165, 0, 0, 0, 0, 0) == -1 && $! == 1)'
        try personality perl -e 'exit(syscall(135, 0x0040000) == -1)'
        try be-traced perl -e 'exit(syscall(101, 0, 0, 0, 0) == -1)'
        try control-group sh -c 'mkdir "/sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)/made"'
        try write-tmp touch /tmp/probe
        try set-uid sh -c 'touch ~/.aws/suid && chmod u+s ~/.aws/suid'
        grep -E '^(NoNewPrivs|CapBnd|Seccomp):' /proc/self/status
        echo "users $(cat /proc/self/uid_map | tr -s ' ')"
        """#,
        "/home/alice/.ssh/id": "a secret key",
    ]

    @Test func theEffectsAreThere() async throws {
        try await SystemdBox.play(files: Self.probe) { box in
            try await box.systemctl("start", "eiced.socket")
            // Nothing in it at the start; what comes later is seen.
            let script = """
                mkdir -p ~/.config/systemd/user/probe.service.d
                cp /usr/lib/systemd/user/eiced.service.d/sandbox.conf ~/.config/systemd/user/probe.service.d/
                systemctl --user daemon-reload
                systemctl --user start probe.service
                """
            try await box.alice("sh", "-c", script)
            #expect(try await box.alice("cat", ".local/state/eiced/seen").contains("read-aws no\n"))
            let again = "echo '[default]' > ~/.aws/config && systemctl --user start probe.service"
            try await box.alice("sh", "-c", again)
            let said = try await box.alice("cat", ".local/state/eiced/seen")
            var found: [String: String] = [:]
            for line in said.split(separator: "\n") {
                let parts = line.split(maxSplits: 1) { $0 == " " || $0 == "\t" }
                if parts.count == 2 { found[String(parts[0])] = parts[1].trimmingPrefix { $0 == " " }.description }
            }
            for name in [
                "read-aws", "write-aws", "write-state", "read-configuration", "write-memory", "netlink-socket",
                "write-tmp",
            ] {
                #expect(found[name] == "yes", "\(name): \(said)")
            }
            for name in [
                "read-ssh", "write-home", "write-configuration", "write-usr", "write-etc", "other-sockets", "devices",
                "user-namespace", "write-and-execute", "packet-socket", "mount-call", "set-uid",
                "personality", "be-traced", "control-group",
            ] {
                #expect(found[name] == "no", "\(name): \(said)")
            }
            #expect(found["NoNewPrivs:"] == "1" && found["Seccomp:"] == "2", "\(said)")
            #expect(found["CapBnd:"] == "0000000000000000", "\(said)")
            #expect(found["users"] == "5801 5801 1", "\(said)")
            // Its /tmp is its own.
            #expect(try await box.run(.root, "test", "-e", "/tmp/probe").code == 1)
            // What it wrote is there for the other programs of the user.
            #expect(try await box.alice("cat", ".aws/sso/cache/token") == "token\n")
        }
    }

    @Test func theDaemonItselfIsInIt() async throws {
        try await SystemdBox.play(files: ["/home/alice/.ssh/id": "a secret key"]) { box in
            try await box.start()
            let process = try await box.mainProcess()
            let status = try await box.run(.root, "cat", "/proc/\(process)/status").output
            #expect(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "\(status)")
            #expect(try await box.run(.root, "test", "-e", "/proc/\(process)/root/home/alice/.ssh").code == 1)
            #expect(try await box.run(.root, "test", "-d", "/proc/\(process)/root/home/alice/.aws").code == 0)
            // A folder that nobody else sees is no place for a socket.
            let hidden = try await box.run(.alice, "eicectl", "add", Scene.web, "22:/tmp/web.sock")
            #expect(hidden.code == 73 && hidden.errors.contains("sandbox.conf"), "\(hidden)")
            let home = try await box.run(.alice, "eicectl", "add", Scene.web, "22:/home/alice/web.sock")
            #expect(home.code == 73, "\(home)")
        }
    }

    @Test func theScoreIsLowAndNothingIsIgnored() async throws {
        try await SystemdBox.play { box in
            let unit = "/usr/lib/systemd/user/eiced.service"
            let analysis = try await box.run(
                .alice, "systemd-analyze", "--user", "security", "--offline=yes", "--threshold=20", "--no-pager", unit)
            // The threshold is in tenths.
            #expect(analysis.code == 0, "\(analysis)")
            let said = try await box.run(.alice, "systemd-analyze", "--user", "--man=no", "verify", unit)
            #expect(said.code == 0 && said.errors.isEmpty, "\(said)")
            let text = try await box.alice("cat", "\(unit).d/sandbox.conf")
            for ignored in [
                "User=", "Group=", "IPAddress", "DeviceAllow=", "DevicePolicy=", "ProtectProc=", "ProcSubset=",
            ] {
                #expect(!text.split(separator: "\n").contains { $0.hasPrefix(ignored) }, "\(ignored)")
            }
        }
    }

    /// What `kernel.unprivileged_userns_clone=0` and the like do, for this user manager alone.
    private static let withoutNamespaces = [
        "/etc/systemd/system/user@.service.d/without-namespaces.conf": "[Service]\nRestrictNamespaces=~user\n"
    ]

    @Test func withoutUserNamespacesTheMaskedSandboxStarts() async throws {
        try await SystemdBox.play(files: Self.withoutNamespaces) { box in
            let refused = try await box.run(.alice, "systemctl", "--user", "start", "eiced.service")
            #expect(refused.code != 0, "\(refused)")
            // It is tried again and again, and has no code while it is.
            try await eventually("it ends with systemd's code for users or for namespaces") {
                ["217", "226"].contains(try await box.property("ExecMainStatus"))
            }
            // As the drop-in's first lines say.
            let mask = """
                mkdir -p ~/.config/systemd/user/eiced.service.d
                ln -s /dev/null ~/.config/systemd/user/eiced.service.d/sandbox.conf
                systemctl --user daemon-reload
                systemctl --user restart eiced.service
                """
            try await box.alice("sh", "-c", mask)
            #expect(try await box.property("ActiveState") == "active")
            _ = try await box.json(StatusResult.self, "status")
        }
    }

    @Test func insideItUsersCannotBeToldApartAndAllowUsersIsRefused() async throws {
        let text = "[defaults]\nallow_users = [\"mallory\"]\n"
        try await SystemdBox.play(configuration: text) { box in
            let refused = try await box.run(.alice, "systemctl", "--user", "start", "eiced.service")
            #expect(refused.code != 0)
            #expect(try await box.property("ExecMainStatus") == "78")
            let said = try await box.alice("journalctl", "--user", "-b", "--no-pager", "-o", "cat")
            #expect(said.contains("allow_users cannot be honoured") && said.contains("sandbox.conf"), "\(said)")
            let mask =
                "mkdir -p ~/.config/systemd/user/eiced.service.d && "
                + "ln -s /dev/null ~/.config/systemd/user/eiced.service.d/sandbox.conf && "
                + "systemctl --user daemon-reload && systemctl --user restart eiced.service"
            try await box.alice("sh", "-c", mask)
            #expect(try await box.property("ActiveState") == "active")
        }
    }

    // MARK: credential_process

    private func credentials(_ box: Emulator) -> [String: String] {
        let keys = box.environment
        return [
            "/home/alice/.aws/config":
                "[default]\nregion = eu-west-1\ncredential_process = print-credentials \"a $b\"\n",
            "/home/alice/secret": """
            {"Version": 1, "AccessKeyId": "\(keys["AWS_ACCESS_KEY_ID"] ?? "")",
             "SecretAccessKey": "\(keys["AWS_SECRET_ACCESS_KEY"] ?? "")"}
            """,
            "/usr/local/bin/print-credentials": "#!/bin/sh\n[ \"$*\" = 'a $b' ] && cat ~/secret\n",
        ]
    }

    private static let withoutKeys =
        "UnsetEnvironment=AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN"

    @Test func aCredentialProcessRunsOutside() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port, service: Self.withoutKeys, filesFor: credentials) { box in
            try await box.run(.root, "chmod", "+x", "/usr/local/bin/print-credentials")
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            try await expectEcho(on: try await box.connect(forward))
        }
    }

    /// What is killed is systemd-run; the unit must end as well.
    @Test func aCredentialProcessThatIsGivenUpIsEnded() async throws {
        try await SystemdBox.play(service: Self.withoutKeys, filesFor: credentials) { box in
            try await box.run(
                .root, "sh", "-c",
                "cd /usr/local/bin && echo 'head -c 100000 /dev/zero; sleep 1000' > print-credentials && chmod +x *")
            try await box.start()
            let result = try await box.run(.alice, "eicectl", "add", Scene.web, "22")
            #expect(result.code == 78 && result.errors.contains("more than 64 KiB"), "\(result)")
            try await eventually("its unit has ended") {
                let units = try await box.systemctl("list-units", "--plain", "--no-legend", "eiced-credentials-*")
                return units.isEmpty
            }
            let left = try await box.run(.root, "sh", "-c", "grep -lz '^1000' /proc/[0-9]*/cmdline")
            #expect(left.code != 0, "\(left)")
        }
    }

    @Test func withoutTheServiceManagerItsErrorNamesTheDropIn() async throws {
        try await SystemdBox.play(
            service: Self.withoutKeys,
            files: [
                "/etc/systemd/user/eiced.service.d/without-manager.conf": """
                [Service]
                BindPaths=
                BindPaths=%h/.aws %h/.local/state/eiced %t/eiced %t/systemd/notify
                """
            ],
            filesFor: credentials
        ) { box in
            try await box.run(.root, "chmod", "+x", "/usr/local/bin/print-credentials")
            try await box.start()
            let result = try await box.run(.alice, "eicectl", "add", Scene.web, "22")
            #expect(result.code == 78, "\(result)")
            #expect(result.errors.contains("eiced.service.d/sandbox.conf"), "\(result)")
        }
    }
}
