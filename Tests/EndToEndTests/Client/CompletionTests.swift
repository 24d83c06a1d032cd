import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// What the shells offer at Tab: the generated scripts in the real shells, with names from a daemon that runs.
@Suite struct CompletionTests {
    /// Two forwards, an open tunnel and some profiles, and the scripts of all shells in a folder.
    private struct Stage: Sendable {
        let scene: Scene
        let folder: TemporaryDirectory
        var environment: [String: String]

        init(_ scene: Scene, environment changes: [String: String] = [:]) async throws {
            self.scene = scene
            folder = try TemporaryDirectory()
            guard symlink(BuiltProducts.eicectl, folder("eicectl")) == 0 else { throw TestFailure("symlink") }
            environment = scene.daemon.environment.merging(changes) { $1 }
            environment["PATH"] = "\(folder.path):/usr/bin:/bin"
            environment["LC_ALL"] = "C.UTF-8"
            environment["TERM"] = "dumb"
            for (shell, file) in [("bash", "eicectl.bash"), ("zsh", "_eicectl"), ("fish", "eicectl.fish")] {
                let made = try await scene.daemon.eicectl("--generate-completion-script", shell)
                guard made.code == 0 else { throw TestFailure(made.description) }
                try folder.write(file, made.output)
            }
        }

        /// The line as it stands in an interactive bash after Tab.
        func bashLine(_ line: String, script: String? = nil) async throws -> String {
            if let script { try folder.write("eicectl.bash", script) }
            return try await terminal(
                line, into: "bash --norc --noprofile -i",
                """
                source \(folder("eicectl.bash"))
                show() { printf '%s\\n' "$READLINE_LINE" >\(folder("buffer")); }; bind -x '"\\C-p": show'
                """)
        }

        /// What bash offers for a line with the cursor at its end.
        func bash(_ line: String) async throws -> Set<String> {
            let script = """
                source \(folder("eicectl.bash"))
                COMP_LINE=$1 COMP_POINT=${#1}
                read -ra COMP_WORDS <<<"$1"
                [[ $1 = *' ' ]] && COMP_WORDS+=('')
                COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                _eicectl eicectl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
                printf '%s\\n' "${COMPREPLY[@]}"
                """
            return try await offered(by: "/usr/bin/bash", ["--norc", "-c", script, "bash", line])
        }

        /// Types the line and Tab in an interactive shell, and returns what the last word became.
        func zsh(_ line: String) async throws -> Set<String> {
            word(
                try await terminal(
                    line, into: "zsh -f -i", zshPreparation))
        }

        func zshLine(_ line: String) async throws -> String {
            try await terminal(line, into: "zsh -f -i", zshPreparation)
        }

        private var zshPreparation: String {
            """
            fpath=(\(folder.path) $fpath); autoload -Uz compinit; compinit -u -D
            show() { print -r -- "$BUFFER" >\(folder("buffer")) }; zle -N show; bindkey '^P' show
            """
        }

        func fish(_ line: String) async throws -> Set<String> {
            word(try await fishLine(line))
        }

        func fishLine(_ line: String) async throws -> String {
            try await terminal(
                line, into: "fish --no-config -i",
                """
                source \(folder("eicectl.fish"))
                bind \\cp 'commandline >\(folder("buffer"))'
                """)
        }

        private func word(_ line: String) -> Set<String> {
            Set(line.split(whereSeparator: \.isWhitespace).last.map { [String($0)] } ?? [])
        }

        /// Types the line and Tab, and returns the line that the shell then has. zsh's zpty is the terminal.
        private func terminal(_ line: String, into shell: String, _ preparation: String) async throws -> String {
            unlink(folder("buffer"))
            try folder.write("preparation", preparation)
            let script = """
                zmodload zsh/zpty
                zpty shell env TERM=xterm \(shell)
                zpty -w shell ". \(folder("preparation")); echo rea''dy"
                zpty -r shell seen '*ready*'
                zpty -n -w shell "$1"$'\\t\\x10'
                until [[ -s \(folder("buffer")) ]]; do zpty -r -t shell seen || sleep 0.02; done
                """
            let result = try await ChildProcess.run(
                "/usr/bin/zsh", ["-f", "-c", script, "zsh", line], environment: environment)
            guard result.code == 0, let buffer = contents(of: folder("buffer")) else {
                throw TestFailure(result.description)
            }
            return buffer
        }

        private func offered(by shell: String, _ arguments: [String]) async throws -> Set<String> {
            let result = try await ChildProcess.run(shell, arguments, environment: environment)
            guard result.code == 0, result.errors.isEmpty else { throw TestFailure(result.description) }
            return Set(result.output.split(separator: "\n").map(String.init))
        }
    }

    private func play(_ body: @Sendable (Stage) async throws -> Void) async throws {
        let greeter = try LoopbackServer.greeter()
        let files = try TemporaryDirectory()
        let config = try files.write("config", "[default]\n[profile work]\nregion = eu-west-1\n[profile play]\n")
        try await Scene.play(port: greeter.port, environment: ["AWS_CONFIG_FILE": config]) { scene in
            let web = try await scene.add(Scene.web, "--name", "web-forward")
            try await scene.add(Scene.dead, "--name", "db")
            let connection = try await Scene.connect(web)
            try await scene.daemon.waitForTunnels(open: 1)
            try await body(try await Stage(scene))
            connection.close()
        }
    }

    /// Whatever the shell: lines with one end.
    private func expectNames(_ offered: (String) async throws -> Set<String>) async throws {
        for command in ["rm", "set", "wait", "tunnels"] {
            #expect(try await offered("eicectl \(command) w") == ["web-forward"], "\(command)")
        }
        // Several may be named.
        #expect(try await offered("eicectl rm web-forward d") == ["db"])
        #expect(try await offered("eicectl close t") == ["t1"])
        // Name tags; ids once one is begun. `proxy` is parsed by hand, and completes like the others.
        for command in ["add", "proxy"] {
            #expect(try await offered("eicectl \(command) w") == ["web"])
            #expect(try await offered("eicectl \(command) i-0aa") == [Scene.web])
            #expect(try await offered("eicectl \(command) i-0ee") == [Scene.withoutEndpoint])
            #expect(try await offered("eicectl \(command) x --profile w") == ["work"])
            #expect(try await offered("eicectl \(command) x --priority i") == ["interactive"])
        }
        #expect(try await offered("eicectl add web --endpoint e") == [Scene.endpoint])
        #expect(try await offered("eicectl set web-forward --unset id") == ["idle-timeout"])
        #expect(try await offered("eicectl add web 33") == ["3389"])
        #expect(try await offered("eicectl events tunnel.c") == ["tunnel.closed"])
        #expect(try await offered("eicectl ssh") == ["ssh-config"])
        #expect(try await offered("eicectl proxy web --pass") == ["--pass-fd"])
    }

    @Test func bashOffersWhatTheDaemonKnows() async throws {
        try await play { stage in
            try await expectNames { try await stage.bash($0) }
            #expect(try await stage.bash("eicectl rm ").isSuperset(of: ["db", "web-forward"]))
            #expect(try await stage.bash("eicectl add ").isSuperset(of: ["web", "dead", Scene.withoutEndpoint]))
            #expect(try await stage.bash("eicectl proxy --profile ") == ["default", "play", "work"])
        }
    }

    private static let hasZsh = access("/usr/bin/zsh", X_OK) == 0

    @Test(.enabled(if: hasZsh, "zsh is not installed here"))
    func zshOffersWhatTheDaemonKnows() async throws {
        try await play { stage in try await expectNames { try await stage.zsh($0) } }
    }

    @Test(
        .enabled(if: hasZsh && access("/usr/bin/fish", X_OK) == 0, "fish, or zsh for a terminal, is not installed here")
    )
    func fishOffersWhatTheDaemonKnows() async throws {
        try await play { stage in try await expectNames { try await stage.fish($0) } }
    }

    /// The line is not finished, so nobody wants to hear of it.
    @Test func withoutADaemonNothingIsOfferedAndNothingSaid() async throws {
        try await Scene.play(port: 9) { scene in
            let stage = try await Stage(scene, environment: ["EICED_SOCKET": "/nonexistent/control.sock"])
            for line in ["eicectl rm ", "eicectl add ", "eicectl proxy --profile ", "eicectl close t"] {
                #expect(try await stage.bash(line).isEmpty, "\(line)")
            }
            // What needs no daemon is offered all the same, and --socket on the line counts.
            #expect(try await stage.bash("eicectl relo") == ["reload"])
            try await scene.add(Scene.web, "--name", "web-forward")
            #expect(try await stage.bash("eicectl rm --socket \(scene.daemon.socket) w") == ["web-forward"])
        }
    }

    /// Where EC2 does not answer, what is known without it is offered.
    @Test func whatForwardsLeadToIsOfferedWhereEC2DoesNotAnswer() async throws {
        try await Scene.play(port: 9) { scene in
            try await scene.add(Scene.web, "--name", "web-forward")
            let stage = try await Stage(scene, environment: ["AWS_ACCESS_KEY_ID": "another"])
            #expect(try await stage.bash("eicectl add ") == [Scene.web])
        }
    }

    // MARK: Names that are meant for the shell

    /// Whoever may tag an instance chooses its name. `MARK` becomes the path of a file that must not appear.
    private static let hostile = [
        "$(touch MARK)", "`touch MARK`", "${x:=$(touch MARK)}", "a;touch MARK", "a\ntouch MARK\n", "a\r\n$(touch MARK)",
        "\t$(touch MARK)", "'; touch MARK; '", "\"; touch MARK; \"", "$((x[$(touch MARK)]))", "<(touch MARK)",
        "a&touch MARK",
        "a|touch MARK", "-web", "--profile", "*", "~", "\u{1B}]0;title\u{7}", "\u{202E}gpj", "!touch",
    ]

    /// The script of releases that handed names to `compgen -W`, which many have in their start-up files.
    private static func older(_ script: String) -> String {
        script.replacing("__eicectl_add_words \"$(", with: "__eicectl_add_completions -W \"$(")
    }

    private func playHostile(
        _ body: @Sendable (Stage, _ ids: Set<String>) async throws -> Void
    ) async throws {
        let files = try TemporaryDirectory()
        let mark = files("mark")
        let names = Self.hostile.map { $0.replacing("MARK", with: mark) }
        // A name in AWS's files cannot have lines. They are your own, but somebody may have sent you one.
        let profiles = names.filter { !$0.contains(where: \.isNewline) && !$0.contains("]") }
            .map { "[profile \($0)]\nregion = eu-west-1\n" }
        let config = try files.write("config", "[default]\n[profile work]\n" + profiles.joined())
        var ids: Set<String> = []
        var items: [String] = []
        for (index, name) in names.enumerated() {
            let id = "i-0f00000000000\(1_000 + index)"
            ids.insert(id)
            let text = String(decoding: try JSONEncoder().encode(name), as: UTF8.self)
            items.append(
                """
                {"id": "\(id)", "privateIp": "10.0.2.\(index + 1)", "name": \(text), "vpc": "vpc-0aaaaaaaaaaaaaaa1",
                 "subnet": "subnet-0aaaaaaaaaaaaaaa1"}
                """)
        }
        let inventory = Scene.inventory(port: 9).replacing(
            "\"instances\": [", with: "\"instances\": [" + items.map { "\($0),\n" }.joined())
        let expected = ids
        try await Scene.play(port: 9, environment: ["AWS_CONFIG_FILE": config]) { scene in
            try await scene.emulator.replace(inventory: inventory)
            // What a forward leads to is offered as well.
            for (index, name) in names.prefix(4).enumerated() { try await scene.add(name, "--name", "f\(index)") }
            try await body(try await Stage(scene), expected)
        }
        #expect(access(mark, F_OK) != 0, "a name was run")
    }

    private static let lines = [
        "eicectl add ", "eicectl proxy ", "eicectl add '", "eicectl add \"", "eicectl proxy x --profile ",
        "eicectl set f0 --target ", "eicectl add a", "eicectl add -", "eicectl add i-0f", "eicectl rm ",
    ]

    /// A line may have grown by what every name has in common, and by nothing that a shell takes for more than a word.
    private func expectHarmless(_ shown: String, _ typed: String) {
        // fish replaces a word that stands inside of a name by the whole name.
        let word = String(typed.split(separator: " ", omittingEmptySubsequences: false).last ?? "")
        let before = typed.dropLast(word.count)
        #expect(shown.hasPrefix(before), "\(shown)")
        let whole = shown.dropFirst(before.count).trimmingSuffix { $0.isWhitespace }
        let added = whole.hasPrefix(word) ? whole.dropFirst(word.count) : whole
        #expect(added.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-._/".contains($0)) }, "\(shown)")
    }

    @Test("bash runs no Name tag, profile or target at Tab, and offers such instances by their ids")
    func bashRunsNoName() async throws {
        try await playHostile { stage, ids in
            #expect(try await stage.bash("eicectl add ").isSuperset(of: ids.union(["web", "dead"])))
            #expect(try await stage.bash("eicectl proxy --profile ") == ["default", "work"])
            let script = try #require(contents(of: stage.folder("eicectl.bash")))
            for script in [script, Self.older(script)] {
                for line in Self.lines {
                    expectHarmless(try await stage.bashLine(line, script: script), line)
                }
            }
            // And a script that somebody else's list of words reaches expands none of them.
            #expect(script.contains("__eicectl_add_words") && Self.older(script) != script)
        }
    }

    @Test("zsh runs no Name tag, profile or target at Tab", .enabled(if: hasZsh, "zsh is not installed here"))
    func zshRunsNoName() async throws {
        try await playHostile { stage, _ in
            for line in Self.lines { expectHarmless(try await stage.zshLine(line), line) }
        }
    }

    @Test(
        "fish runs no Name tag, profile or target at Tab",
        .enabled(if: hasZsh && access("/usr/bin/fish", X_OK) == 0, "fish, or zsh for a terminal, is not installed here")
    )
    func fishRunsNoName() async throws {
        try await playHostile { stage, _ in
            for line in Self.lines { expectHarmless(try await stage.fishLine(line), line) }
        }
    }
}

extension StringProtocol {
    fileprivate func trimmingSuffix(while isTrimmed: (Character) -> Bool) -> SubSequence {
        guard let last = lastIndex(where: { !isTrimmed($0) }) else { return prefix(0) }
        return self[...last]
    }
}
