import ArgumentParser
import ControlProtocol
import Failures
import TestSupport
import Testing

@testable import EicectlCommands

@Suite struct CommandLineTests {
    func add(_ words: String...) throws -> ForwardAddParameters {
        let command = try #require(try EicectlCommand.parseAsRoot(["add"] + words) as? AddCommand)
        return try command.parameters(environment: { _ in nil }, folder: "/home/u")
    }

    @Test func addUnderstandsEveryFormOfALocalSide() throws {
        let parameters = try add("web", "22:2222", "3389", "22:", "22:0", "22:/run/a:b.sock", "22:./x.sock")
        #expect(parameters.target == "web")
        #expect(
            parameters.mappings == [
                Mapping(remotePort: 22, local: .port(2222)), Mapping(remotePort: 3389), Mapping(remotePort: 22),
                Mapping(remotePort: 22), Mapping(remotePort: 22, local: .path("/run/a:b.sock")),
                Mapping(remotePort: 22, local: .path("/home/u/./x.sock")),
            ])
    }

    @Test func aRangeStandsForItsPorts() throws {
        let expected = [3000, 3001, 3002].map { Mapping(remotePort: $0, local: .port($0 + 1000)) }
        #expect(try add("web", "3000-3002:4000").mappings == expected)
        #expect(try add("web", "3000-3002:4000-4002").mappings == expected)
        let free = [22, 3000, 3001].map { Mapping(remotePort: $0) }
        #expect(try add("web", "22", "3000-3001").mappings == free)
        #expect(try add("web", "22", "3000-3001:0").mappings == free)
        #expect(try add("web", "7-7:7").mappings == [Mapping(remotePort: 7, local: .port(7))])
    }

    @Test(arguments: [
        "3-1", "0-2", "1-", "-1", "1-2-3", "1-2:65535", "1-2:/s", "1-2:x", "1-3:1-2", "1-70000", "1-2:2-1",
    ]) func addRefusesWhatIsNoRange(_ text: String) {
        #expect { _ = try MappingText.parseAll(text, folder: "/") } throws: { ($0 as? Failure)?.kind == .usage }
    }

    @Test(arguments: ["", ":", "x:1", "0:1", "65536:1", "22:65536", "22:name", "-1", "22:+5", "٢٢"])
    func addRefusesWhatIsNoMapping(_ text: String) {
        #expect { _ = try MappingText.parse(text, folder: "/") } throws: { ($0 as? Failure)?.kind == .usage }
    }

    @Test func addTakesItsOptions() throws {
        let parameters = try add(
            "i-1", "22", "--name", "n", "--bind", "0.0.0.0", "--allow-remote", "--ephemeral", "--profile", "dev",
            "--region", "r", "--endpoint", "eice-1", "--endpoint-dns", "x.y", "--max-duration", "30m", "--idle-timeout",
            "5m", "--priority", "interactive", "--warm", "2")
        #expect(
            parameters
                == ForwardAddParameters(
                    name: "n", target: "i-1", mappings: [Mapping(remotePort: 22)], bind: "0.0.0.0", allowRemote: true,
                    options: TunnelOptions(
                        profile: "dev", region: "r", endpoint: "eice-1", endpointDNSName: "x.y", maxDuration: 1800,
                        idleTimeout: 300, priority: .interactive),
                    warm: 2, ephemeral: true))
    }

    func set(_ words: String...) throws -> ForwardSetParameters {
        let command = try #require(try EicectlCommand.parseAsRoot(["set"] + words) as? SetCommand)
        return try command.parameters(environment: { _ in nil }, folder: "/home/u")
    }

    @Test func setTakesWhatIsToChangeAndNothingElse() throws {
        #expect(try set("web", "--name", "n") == ForwardSetParameters(forward: "web", name: "n"))
        #expect(
            try set(
                "web", "--target", "i-2", "--remote-port", "23", "--local", "0", "--bind", "0.0.0.0", "--allow-remote",
                "--warm", "1", "--no-ephemeral", "--profile", "dev", "--endpoint-dns", "x.y", "--max-duration", "30m",
                "--unset",
                "idle-timeout", "--unset", "region")
                == ForwardSetParameters(
                    forward: "web", target: "i-2", remotePort: 23, local: .port(0), bind: "0.0.0.0", allowRemote: true,
                    warm: 1, ephemeral: false,
                    options: TunnelOptions(
                        profile: "dev", endpointDNSName: "x.y", maxDuration: 1800,
                        environment: CallerEnvironment(variables: [:])),
                    unset: [.idleTimeout, .region]))
        #expect(try set("web", "--local", "x/y.sock").local == .path("/home/u/x/y.sock"))
        #expect(try set("web", "--ephemeral").ephemeral == true)
    }

    @Test(arguments: [
        ["web"], ["web", "--unset", "colour"], ["web", "--remote-port", "0"], ["web", "--local", "x"],
        ["web", "--local", ""], ["web", "--max-duration", "2h"],
    ]) func setRefusesWhatItCannotDo(_ words: [String]) throws {
        let command = try #require(try EicectlCommand.parseAsRoot(["set"] + words) as? SetCommand)
        #expect { _ = try command.parameters(environment: { _ in nil }, folder: "/") } throws: {
            ($0 as? Failure)?.kind == .usage
        }
    }

    @Test(arguments: [
        ["add"], ["add", "i-1"], ["rm"], ["close"], ["frobnicate"], ["ls", "x"], ["add", "i-1", "22", "--warp"],
        ["status", "--socket"],
    ]) func whatCannotBeUnderstoodExitsWith64(_ words: [String]) {
        #expect {
            _ = try EicectlCommand.parseAsRoot(words)
        } throws: {
            EicectlCommand.exitCode(for: $0).rawValue == 64
        }
    }

    @Test(arguments: [["--help"], ["add", "--help"], ["help", "proxy"], ["proxy", "--help"], ["--version"]])
    func helpIsAnAnswer(_ words: [String]) {
        do {
            var command = try EicectlCommand.parseAsRoot(words)
            try command.run()
            Issue.record("no help")
        } catch {
            #expect(EicectlCommand.exitCode(for: error).isSuccess)
            #expect(!EicectlCommand.fullMessage(for: error).isEmpty)
        }
    }

    @Test func everyCommandTakesSocketAndJSON() throws {
        for words in [
            ["add", "i-1", "22"], ["set", "x", "--name", "y"], ["rm", "x"], ["ls"], ["status"], ["tunnels"],
            ["close", "t1"], ["endpoints"],
            ["reload"],
            ["shutdown", "--drain", "30s"], ["version"], ["ssh-config", "--install"],
        ] {
            _ = try EicectlCommand.parseAsRoot(words + ["--json", "--socket", "/s"])
        }
    }
}
