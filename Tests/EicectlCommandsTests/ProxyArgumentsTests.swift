import ControlProtocol
import Failures
import Testing

@testable import EicectlCommands
@testable import EicectlProxy

@Suite struct ProxyArgumentsTests {
    func failure(_ words: String...) -> Failure? {
        do {
            _ = try ProxyArguments(words)
            return nil
        } catch {
            return error
        }
    }

    @Test func targetAloneMeansPort22() throws {
        let arguments = try ProxyArguments(["i-1"])
        #expect(arguments.target == "i-1")
        #expect(arguments.port == 22)
        #expect(arguments.mode == .automatic)
        #expect(arguments.options == TunnelOptions())
    }

    @Test func optionsStandAnywhereAndInBothForms() throws {
        let arguments = try ProxyArguments([
            "--profile", "dev", "web.eice", "--region=eu-west-1", "3389", "--endpoint=eice-1", "--endpoint-dns", "x.y",
            "--max-duration=1h", "--idle-timeout", "10m", "--priority=normal", "--socket", "/s", "--stdio", "--stdio",
        ])
        #expect(arguments.target == "web.eice")
        #expect(arguments.port == 3389)
        #expect(arguments.mode == .copy)
        #expect(arguments.socket == "/s")
        #expect(
            arguments.options
                == TunnelOptions(
                    profile: "dev", region: "eu-west-1", endpoint: "eice-1", endpointDNSName: "x.y", maxDuration: 3_600,
                    idleTimeout: 600, priority: .normal))
    }

    @Test func afterTwoDashesEverythingIsAWord() throws {
        #expect(try ProxyArguments(["--pass-fd", "--", "-odd", "23"]).target == "-odd")
    }

    @Test func whatIsWrongIsNamed() {
        #expect(failure()?.why == "TARGET is missing")
        #expect(failure("")?.why == "TARGET is missing")
        #expect(failure("i-1", "22", "x")?.why == "\"x\" is one word too many")
        #expect(failure("i-1", "0")?.why == "\"0\" is no port: expected 1 to 65535")
        #expect(failure("i-1", "65536")?.kind == .usage)
        #expect(failure("i-1", "+22")?.kind == .usage)
        #expect(failure("i-1", "--profile")?.why == "--profile needs a value")
        #expect(failure("i-1", "--frobnicate")?.why == "there is no option --frobnicate")
        #expect(failure("i-1", "--stdio=1")?.why == "there is no option --stdio=1")
        #expect(failure("i-1", "--stdio", "--pass-fd")?.why == "--pass-fd and --stdio exclude each other")
    }
}

@Suite struct TunnelOptionTests {
    func options(_ texts: [String], _ environment: [String: String] = [:]) throws(Failure) -> TunnelOptions {
        let options = try ProxyArguments(["i-1"] + texts).options
        return try ShellVariables(variable: { environment[$0] }, folder: { "/" }).completing(options)
    }

    @Test func lengthsOfTimeBecomeSeconds() throws {
        let options = try options([
            "--max-duration", "1h", "--idle-timeout", "90s", "--priority", "interactive",
        ])
        #expect(options.maxDuration == 3600)
        #expect(options.idleTimeout == 90)
        #expect(options.priority == .interactive)
        #expect(options.environment == nil)
    }

    @Test(arguments: [
        "--max-duration=2h", "--max-duration=0s", "--max-duration=1500ms", "--max-duration=soon", "--idle-timeout=25h",
        "--idle-timeout=-1", "--priority=high", "--endpoint-dns=x.y", "--endpoint=i-1", "--region=EU", "--profile=",
    ]) func whatMakesNoSenseIsAUsageError(_ text: String) {
        #expect { try options([text]) } throws: { ($0 as? Failure)?.kind == .usage }
    }

    @Test func shellsDefaultsTravelAndNoSecretDoes() throws {
        let environment = [
            "AWS_PROFILE": "p", "AWS_REGION": "r", "AWS_DEFAULT_REGION": "d", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "planted-secret", "AWS_SESSION_TOKEN": "planted-token",
        ]
        let bare = try options([], environment)
        #expect(
            bare.environment
                == CallerEnvironment(profile: "p", region: "r", defaultRegion: "d", accessKeyID: "AKIDEXAMPLE"))
        // A named profile is the account: the key in the shell is none of it.
        #expect(try options(["--profile", "dev"], environment).environment?.accessKeyID == nil)
        let sent = String(
            decoding: QuickConnect.request(ConnectParameters(target: "i", remotePort: 22, options: bare), client: "c"),
            as: UTF8.self)
        #expect(!sent.contains("planted"))
    }

    @Test func emptyVariablesCountAsNotSet() throws {
        #expect(try options([], ["AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": ""]).environment == nil)
    }
}
