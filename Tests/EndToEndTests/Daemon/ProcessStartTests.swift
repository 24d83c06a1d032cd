import Glibc
import SocketIO
import TestSupport
import Testing

/// What a program meets when it starts: descriptors, dispositions, bytes that are no UTF-8, no /proc, a full disk.
@Suite struct ProcessStartTests {
    private static func shell(_ script: String) -> [String] { ["/bin/sh", "-c", script, "sh"] }

    @Test(
        "a daemon that starts with closed standard descriptors fills them first",
        arguments: ["2>&-", "<&-", "<&- >&- 2>&-"]
    ) func standardDescriptorsAreFilled(_ closed: String) async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port, wrapper: Self.shell("exec \"$@\" \(closed)")) { scene in
            // Something to log.
            let failed = try await scene.daemon.eicectl("proxy", "nosuch", "22")
            #expect(failed.code != 0)
            for number in 0...2 {
                let path = try #require(readlink("/proc/\(scene.daemon.process.pid)/fd/\(number)"))
                #expect(path == "/dev/null" || path.hasPrefix("pipe:"), "\(number) is \(path)")
            }
            let lock = try #require(contents(of: scene.daemon.socket + ".lock"))
            #expect(lock == "\(scene.daemon.process.pid)\n")
        }
    }

    @Test(
        "a credential_process works whatever dispositions and masks eiced inherited",
        arguments: ["trap '' CHLD; exec \"$@\"", "exec /usr/bin/env --block-signal --ignore-signal=CHLD \"$@\""]
    ) func helpersWork(_ start: String) async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port, wrapper: Self.shell(start)) { scene in
            let folder = scene.daemon.directory
            let id = try #require(scene.emulator.environment["AWS_ACCESS_KEY_ID"])
            let secret = try #require(scene.emulator.environment["AWS_SECRET_ACCESS_KEY"])
            let keys = try folder.write(
                "keys", #"{"Version":1,"AccessKeyId":"\#(id)","SecretAccessKey":"\#(secret)"}"#)
            try folder.makeDirectory("home/.aws")
            try folder.write("home/.aws/config", "[profile p]\ncredential_process = cat \(keys)\n")
            let proxy = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--profile", "p", "--stdio")
            #expect(proxy.output.hasPrefix("SSH-"), "\(proxy)")
        }
    }

    @Test("folders, sockets, bundles and helpers are found by bytes that are no UTF-8") func pathsAreBytes()
        async throws
    {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            let folder = try TemporaryDirectory()
            // \351 is é in Latin-1.
            let script = #"""
                set -eu
                H=$(printf '%s/Ren\351' "$1"); mkdir -m 700 "$H" "$H/run" "$H/bin" "$H/.aws"
                cp "$AWS_CA_BUNDLE" "$H/ca.pem"
                printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s"}' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$H/keys"
                # The helper sees its environment unchanged.
                printf '#!/bin/sh\ncase $HOME in "%s") exec cat "$HOME/keys";; esac; echo "HOME is $HOME" >&2; exit 1\n' "$H" >"$H/bin/helper"
                chmod 700 "$H/bin/helper"
                printf '[default]\ncredential_process = helper\n' >"$H/.aws/config"
                unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN XDG_CONFIG_HOME XDG_STATE_HOME AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
                export HOME="$H" XDG_RUNTIME_DIR="$H/run" AWS_CA_BUNDLE="$H/ca.pem" PATH="$H/bin:$PATH"
                "$2" 2>"$1/log" </dev/null & trap '"$3" shutdown --drain 0s >/dev/null 2>&1 || :; kill $! 2>/dev/null || :' EXIT
                n=0; until "$3" status >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 600 ] || { cat "$1/log"; exit 1; }; sleep 0.1; done
                "$3" add "$4" "22:$H/f.sock" --name web; [ -S "$H/f.sock" ]
                "$3" proxy "$4" 22 --stdio </dev/null
                "$3" ssh-config --install >/dev/null; [ -s "$H/.ssh/eiced.conf" ]; [ -s "$H/.ssh/config" ]
                "$3" ls --socket "$H/run/eiced/control.sock" >/dev/null
                EICED_SOCKET="$H/run/eiced/control.sock" "$3" ls
                [ -s "$H/.local/state/eiced/forwards.json" ]
                # The next process gets all of it as well.
                "$3" shutdown --handover
                "$3" ls
                "$3" proxy "$4" 22 --stdio </dev/null
                """#
            let result = try await ChildProcess.run(
                "/bin/sh",
                ["-c", script, "sh", folder.path, BuiltProducts.eiced, BuiltProducts.eicectl, Scene.web],
                environment: scene.daemon.environment)
            #expect(result.code == 0, "\(result)\n\(contents(of: folder("log")) ?? "")")
            #expect(result.output.split(separator: "\n").filter { $0.hasPrefix("SSH-") }.count == 2, "\(result)")
            let names = try await ChildProcess.run("/bin/ls", ["-b", folder.path])
            #expect(names.output.split(separator: "\n").filter { $0.hasPrefix("Ren") } == [#"Ren\351"#])
        }
    }

    @Test(
        "every program says that its answer could not be written, and fails",
        arguments: [
            "'eicectl' ls", "'eicectl' --version", "'eicectl' help", "'eicectl' status --json", "'eicectl' metrics",
            "'eicectl' ssh-config", "'eicectl' proxy \(Scene.web) 22 --stdio </dev/null", "'eiced' --check",
            "'eiced' --help",
            "'eiced' --version", "'eice-emulator' --list-faults", "'eice-emulator' --example-inventory",
            "'eice-emulator' --help", "'eice-emulator'",
        ]
    ) func fullDisk(_ command: String) async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            let line = command.replacing("'eicectl'", with: "'\(BuiltProducts.eicectl)'")
                .replacing("'eiced'", with: "'\(BuiltProducts.eiced)'")
                .replacing("'eice-emulator'", with: "'\(BuiltProducts.emulator)'")
            let full = try await ChildProcess.run(
                "/bin/sh", ["-c", "\(line) >/dev/full"], environment: scene.daemon.environment)
            #expect(full.code == 74, "\(full)")
            #expect(full.errors.contains("error: cannot write to stdout: no space left on device"), "\(full)")
            // A reader that is gone is no failure.
            guard command != "'eice-emulator'", !command.contains("proxy") else { return }
            let gone = try await ChildProcess.run(
                "/bin/sh", ["-c", "{ \(line); echo $? >&2; } | true"], environment: scene.daemon.environment)
            #expect(gone.errors.hasSuffix("0\n"), "\(gone)")
        }
    }

    @Test(
        "eicectl and eiced work without /proc",
        .enabled("this host lets us make no mount namespace") { try await mayMount.value }
    ) func withoutProc() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            for words in ["--version", "ls", "proxy \(Scene.web) 22 --stdio"] {
                let script = "mount -t tmpfs none /proc && exec '\(BuiltProducts.eicectl)' \(words)"
                let result = try await ChildProcess.run(
                    "/usr/bin/unshare", ["--mount", "--map-root-user", "sh", "-c", script],
                    environment: scene.daemon.environment)
                // In that namespace of users nobody is the daemon's user but root.
                #expect(result.code == 0 || (geteuid() != 0 && result.errors.contains("belongs to uid")), "\(result)")
            }
            // By its name alone, which the shell looks up.
            let script = "mount -t tmpfs none /proc && cd / && PATH=${0%/*}:$PATH && exec eicectl help ls"
            let help = try await ChildProcess.run(
                "/usr/bin/unshare", ["--mount", "--map-root-user", "sh", "-c", script, BuiltProducts.eicectl],
                environment: scene.daemon.environment)
            #expect(help.code == 0 && help.output.contains("ls"), "\(help)")
        }
    }

    @Test("a control socket's path may be relative, or begin with a tilde") func socketPaths() async throws {
        try await Scene.alone { daemon in
            try daemon.directory.makeDirectory("home/s")
            #expect(symlink(daemon.socket, daemon.directory("home/s/c.sock")) == 0)
            for (option, variable) in [
                ("'--socket' '~/s/c.sock'", ""), ("'--socket' 's/c.sock'", ""), ("", "~/s/c.sock"), ("", "./s/c.sock"),
            ] {
                let result = try await ChildProcess.run(
                    "/bin/sh", ["-c", "cd ~ && exec '\(BuiltProducts.eicectl)' ls \(option)"],
                    environment: daemon.environment.merging(variable.isEmpty ? [:] : ["EICED_SOCKET": variable]) { $1 })
                #expect(result.code == 0, "\(option) \(variable): \(result)")
            }
            let printed = try await ChildProcess.run(
                "/bin/sh", ["-c", "cd ~ && exec '\(BuiltProducts.eicectl)' ssh-config --socket s/c.sock"],
                environment: daemon.environment)
            #expect(printed.output.contains("--socket \(daemon.directory("home"))/s/c.sock"), "\(printed)")
        }
    }

    @Test(
        "a forward binds localhost and [::1] as it is written", arguments: ["localhost", "LOCALHOST", "[::1]", "::1"])
    func bindNames(_ address: String) async throws {
        try await Scene.play(port: 9) { scene in
            let forward = try await scene.add(Scene.web, "--bind", address)
            #expect(!forward.remoteAllowed)
            #expect(forward.addresses.count == (address.lowercased() == "localhost" ? 2 : 1), "\(forward.addresses)")
            #expect(forward.addresses.contains { $0.hasPrefix("[::1]:") }, "\(forward.addresses)")
            let wrong = try await scene.daemon.eicectl("add", Scene.web, "22", "--bind", "nohost")
            #expect(wrong.code == 64 && wrong.errors.contains("invalid address \"nohost\""), "\(wrong)")
        }
    }

    private static let mayMount = Task { () throws -> Bool in
        try await ChildProcess.run(
            "/usr/bin/unshare", ["--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/proc"]
        ).code == 0
    }
}
