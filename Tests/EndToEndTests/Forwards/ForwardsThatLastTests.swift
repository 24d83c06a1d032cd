import ControlProtocol
import Glibc
import TestSupport
import Testing

/// Forwards that were added are there again after a restart, and what cannot be saved is not done.
@Suite struct ForwardsThatLastTests {
    /// Kills the daemon, with no chance to clean up, and starts another one in the same folders.
    private func restart(_ daemon: EicedDaemon, configuration: String? = nil) async throws -> EicedDaemon {
        daemon.process.kill()
        try await daemon.process.exit()
        return try await EicedDaemon.start(configuration: configuration, in: daemon.directory)
    }

    @Test func aForwardSurvivesAKillWithItsOptionsAndItsPort() async throws {
        try await Scene.alone { daemon in
            try daemon.directory.makeDirectory("home/.aws")
            try daemon.directory.write("home/.aws/config", "[profile work]\nregion = us-east-1\n")
            let added = try await daemon.eicectl(
                "add", "10.0.0.1", "22", "3389", "--name", "web", "--endpoint", "eice-0123456789abcdef0",
                "--endpoint-dns", "x.example", "--idle-timeout", "5m", "--max-duration", "30m",
                environment: ["AWS_PROFILE": "work", "AWS_REGION": "eu-west-2"])
            #expect(added.code == 0, "\(added)")
            _ = try await daemon.add(["10.0.0.2", "22", "--ephemeral"] + pinnedEndpoint)
            let before = try await daemon.forwards()
            let next = try await restart(daemon)
            let after = try await next.forwards()
            #expect(after == before.filter { !$0.ephemeral })
            #expect(after.map(\.name) == ["web-22", "web-3389"])
            #expect(after.allSatisfy { $0.profile == "work" && $0.region == "eu-west-2" && $0.idleTimeout == 300 })
            // A removed one stays removed.
            #expect(try await next.eicectl("rm", "web-22").code == 0)
            #expect(try await restart(next).forwards().map(\.name) == ["web-3389"])
        }
    }

    @Test func theSameRequestTwiceIsAnsweredWithWhatIsThere() async throws {
        try await Scene.alone { daemon in
            let request = ["10.0.0.1", "22", "--name", "web"] + pinnedEndpoint
            let first = try await daemon.add(request)
            #expect(try await daemon.add(request) == first)
            // Its own port, named, is no other request.
            #expect(try await daemon.add(["10.0.0.1", "22:\(try first.port)"] + request.dropFirst(2)) == first)
            let other = try await daemon.eicectl("add", "10.0.0.2", "22", "--name", "web")
            #expect(other.code == 65 && other.errors.contains("web"), "\(other)")
            // Half of a request that is there already is no reason not to add the other half.
            let both = try await daemon.json(
                ForwardListResult.self, ["add", "10.0.0.3", "22", "--name", "both-22"] + pinnedEndpoint)
            let more = try await daemon.json(
                ForwardListResult.self, ["add", "10.0.0.3", "22", "80", "--name", "both"] + pinnedEndpoint)
            #expect(more.forwards.map(\.name) == ["both-22", "both-80"])
            #expect(more.forwards.first == both.forwards.first)
            // After a restart as well.
            #expect(try await restart(daemon).add(request) == first)
        }
    }

    @Test func manyWhoAskForTheSameAtOnceGetTheSame() async throws {
        try await Scene.alone { daemon in
            let request = ["add", "10.0.0.1", "22", "80", "--name", "web"] + pinnedEndpoint
            let children = try (0..<12).map { _ in try daemon.startEicectl(request) }
            var answers: Set<String> = []
            for child in children {
                let result = try await child.result(of: "add")
                #expect(result.code == 0, "\(result)")
                answers.insert(result.output)
            }
            #expect(answers.count == 1)
            #expect(try await daemon.forwards().map(\.name) == ["web-22", "web-80"])
            #expect(try StateFile.read(in: daemon.directory)?.names == ["web-22", "web-80"])
        }
    }

    @Test func aForwardWhosePortIsTakenAtTheStartListensOnceThePortIsFree() async throws {
        let (one, two) = (try LoopbackServer.discard(), try LoopbackServer.discard())
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            for folder in ["state", "state/eiced"] { try directory.makeDirectory(folder) }
            let text = """
                {"version": 1, "forwards": [{"name": "saved", "target": "10.0.0.1", "remotePort": 22, "maxDuration": 60,
                 "local": {"port": \(one.port)}, "endpoint": "eice-1", "endpointDNSName": "x", "region": "eu-west-1"}]}
                """
            try directory.write("state/eiced/forwards.json", text)
            let daemon = try await EicedDaemon.start(
                configuration: """
                    [forwards.configured]
                    target = "10.0.0.2"
                    remote_port = 22
                    local = \(two.port)
                    endpoint = "eice-0123456789abcdef0"
                    endpoint_dns = "x.example"
                    """, in: directory)
            let forwards = try await daemon.forwards()
            #expect(forwards.map(\.name) == ["configured", "saved"])
            for forward in forwards {
                #expect(forward.state == .failed && forward.lastFailure?.failure.kind == .cannotListen)
                #expect(forward.addresses.isEmpty)
            }
            // It is in the file still, whatever else is saved meanwhile.
            _ = try await daemon.add(["10.0.0.9", "22", "--name", "other"] + pinnedEndpoint)
            #expect(try StateFile.read(in: directory)?.names == ["other", "saved"])
            let renamed = try await daemon.eicectl("set", "saved", "--name", "late")
            #expect(renamed.code == 0 && renamed.output.contains("not listening yet"), "\(renamed)")
            one.stop()
            two.stop()
            try await eventually("both listen") { try await daemon.forwards().allSatisfy { $0.state == .listening } }
            #expect(try await daemon.forwards().first { $0.name == "late" }?.port == one.port)
        }
    }

    @Test func aForwardThatDoesNotListenIsTriedAtOnceWhenItIsAddedAgain() async throws {
        let thief = try LoopbackServer.discard()
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            for folder in ["state", "state/eiced"] { try directory.makeDirectory(folder) }
            let text = """
                {"version": 1, "forwards": [{"name": "web", "target": "10.0.0.1", "remotePort": 22, "maxDuration": 3600,
                 "local": {"port": \(thief.port)}, "endpoint": "\(pinnedEndpoint[1])",
                 "endpointDNSName": "\(pinnedEndpoint[3])", "region": "eu-west-1"}]}
                """
            try directory.write("state/eiced/forwards.json", text)
            let daemon = try await EicedDaemon.start(in: directory)
            let request = ["10.0.0.1", "22", "--name", "web"] + pinnedEndpoint
            let refused = try await daemon.startEicectl(["add"] + request).result(of: "add")
            #expect(refused.code == 73 && refused.errors.contains("\(thief.port)"), "\(refused)")
            let other = try await daemon.eicectl("add", "10.0.0.1", "22:\(thief.port)", "--name", "web")
            #expect(other.code == 65, "another request: \(other)")
            thief.stop()
            #expect(try await daemon.add(request).port == thief.port)
        }
    }

    @Test func whatCannotBeSavedIsNotDone() async throws {
        try await Scene.alone { daemon in
            let web = try await daemon.add(["10.0.0.1", "22", "--name", "web"] + pinnedEndpoint)
            let file = contents(of: StateFile.path(in: daemon.directory))
            // Where the new file would be written stands a folder.
            try daemon.directory.makeDirectory("state/eiced/forwards.json.new")
            for command in [
                ["add", "10.0.0.2", "22", "3389", "--name", "db"] + pinnedEndpoint, ["rm", "web"],
                ["set", "web", "--name", "other", "--local", "0"],
            ] {
                let result = try await daemon.startEicectl(command).result(of: command.joined(separator: " "))
                #expect(result.code == 74 && result.errors.contains("forwards.json"), "\(result)")
                #expect(result.errors.contains("--ephemeral"), "\(result)")
                #expect(try await daemon.forwards() == [web])
            }
            #expect(contents(of: StateFile.path(in: daemon.directory)) == file)
            #expect(try await daemon.status().warnings?.map(\.failure.kind) == [.stateNotSaved])
            // What need not be saved can be done.
            _ = try await daemon.add(["10.0.0.2", "22", "--name", "brief", "--ephemeral"] + pinnedEndpoint)
            #expect(try await daemon.eicectl("rm", "brief").code == 0)
            rmdir("\(StateFile.path(in: daemon.directory)).new")
            #expect(try await daemon.eicectl("set", "web", "--name", "other").code == 0)
            #expect(try await daemon.status().warnings?.isEmpty == true)
            #expect(try StateFile.read(in: daemon.directory)?.names == ["other"])
        }
    }

    /// A limit of the file size makes write(2) fail in the middle of a file, as a full disk does.
    @Test(.enabled(if: Sanitizer.current != .thread, "the thread sanitizer's memory is files, which the limit cuts"))
    func aFullDiskFailsTheRequestAndMemoryAndFileAgree() async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let environment = try EicedDaemon.environment(in: directory)
            let process = try ChildProcess(
                "/usr/bin/prlimit", ["--fsize=2000", "--", BuiltProducts.eiced], environment: environment,
                diesWithParent: true)
            let path = directory("run/eiced/control.sock")
            try await eventually("eiced answers") {
                if process.exit != nil { throw TestFailure(process.standardError) }
                return (try? LoopbackSocket.connect(path: path)) != nil
            }
            var added: [String] = []
            while true {
                let name = "forward-\(added.count)"
                let result = try await ChildProcess.run(
                    BuiltProducts.eicectl, ["add", "10.0.0.1", "22", "--name", name] + pinnedEndpoint,
                    environment: environment)
                if result.code == 0 {
                    added.append(name)
                    try #require(added.count < 100, "the file never became too long")
                    continue
                }
                #expect(result.code == 74, "\(result)")
                break
            }
            #expect(!added.isEmpty)
            let list = try await ChildProcess.run(BuiltProducts.eicectl, ["ls"], environment: environment)
            #expect(!list.output.contains("forward-\(added.count)"), "\(list)")
            #expect(try StateFile.read(in: directory)?.names == added)
            // Less needs no more room.
            let removal = try await ChildProcess.run(
                BuiltProducts.eicectl, ["rm", "forward-0"], environment: environment)
            #expect(removal.code == 0, "\(removal)")
            #expect(try StateFile.read(in: directory)?.names == Array(added.dropFirst()))
            #expect(process.exit == nil)
        }
    }

    @Test func aDamagedFileAndOneFromTheFutureAreNamedAndTheDaemonStarts() async throws {
        try await Scene.alone { daemon in
            _ = try await daemon.add(["10.0.0.1", "22", "--name", "web"] + pinnedEndpoint)
            daemon.process.kill()
            try await daemon.process.exit()
            try daemon.directory.write("state/eiced/forwards.json", "{\"version\": 1, \"forw")
            let damaged = try await EicedDaemon.start(in: daemon.directory)
            #expect(try await damaged.forwards().isEmpty)
            #expect(damaged.log.contains("forwards.json.damaged-"))
            #expect(try await damaged.eicectl("status").output.contains("forwards.json.damaged-"))
            #expect(
                try await damaged.eicectl("add", "--name", "a", "10.0.0.1", "22", "--region", "eu-west-1").code != 74)

            damaged.process.kill()
            try await damaged.process.exit()
            try daemon.directory.write("state/eiced/forwards.json", "{\"version\": 99}")
            let future = try await EicedDaemon.start(in: daemon.directory)
            #expect(try await future.eicectl("status").output.contains("a newer eiced wrote them"))
            let request = ["add", "10.0.0.1", "22", "--name", "web"] + pinnedEndpoint
            let refused = try await future.startEicectl(request).result(of: "add")
            #expect(refused.code == 74, "\(refused)")
            #expect(contents(of: StateFile.path(in: daemon.directory)) == "{\"version\": 99}")
            unlink(StateFile.path(in: daemon.directory))
            #expect(try await future.startEicectl(request).result(of: "add").code == 0)
            #expect(try StateFile.read(in: daemon.directory)?.names == ["web"])
        }
    }

    @Test func aNameOfTheConfigurationIsServedAndTheSavedOneIsKept() async throws {
        try await Scene.alone { daemon in
            _ = try await daemon.add(["10.0.0.1", "22", "--name", "web"] + pinnedEndpoint)
            let next = try await restart(
                daemon,
                configuration: """
                    [forwards.web]
                    target = "10.0.0.2"
                    remote_port = 22
                    """)
            let forwards = try await next.forwards()
            #expect(forwards.map(\.target) == ["10.0.0.2"] && forwards.first?.origin == .configuration)
            #expect(try await next.status().warnings?.map(\.failure.kind) == [.nameTaken])
            _ = try await next.add(["10.0.0.1", "22", "--name", "other"] + pinnedEndpoint)
            #expect(try StateFile.read(in: daemon.directory)?.names == ["other", "web"])
            let refused = try await next.eicectl("set", "web", "--name", "x")
            #expect(refused.code == 65 && refused.errors.contains("configuration"), "\(refused)")
        }
    }
}
