import ControlProtocol
import Failures
import TestSupport
import Testing

@testable import EicectlCommands

@Suite struct CompletionWordsTests {
    private func value(_ option: String, _ words: String...) -> String? {
        CommandLineSoFar(words: words, word: "").value(of: option)
    }

    @Test("an option's value is found in each form in which a shell gives it")
    func forms() {
        #expect(value("--profile", "eicectl", "add", "--profile", "dev", "w") == "dev")
        #expect(value("--profile", "eicectl", "--profile=dev") == "dev")
        #expect(value("--profile", "eicectl", "--profile", "=", "dev") == "dev")
        #expect(value("--profile", "eicectl", "--profile", "=") == "=")
        #expect(value("--profile", "eicectl", "--profile=") == "")
        #expect(value("--profile", "eicectl", "--profile", "") == nil)
        #expect(value("--profile", "eicectl", "--profile") == nil)
        #expect(value("--profile", "eicectl", "--profiles=x", "--region", "r") == nil)
        #expect(value("--region", "eicectl", "--profile", "p", "--region", "r") == "r")
    }

    @Test(
        "each setting that can be unset has its word",
        arguments: zip(
            ["bind", "profile", "environment", "region", "endpoint", "max-duration", "idle-timeout"],
            [
                ForwardSetParameters.Setting.bind, .profile, .environment, .region, .endpoint, .maxDuration,
                .idleTimeout,
            ]))
    func unset(word: String, setting: ForwardSetParameters.Setting) throws {
        let command = try #require(try EicectlCommand.parseAsRoot(["set", "web", "--unset", word]) as? SetCommand)
        #expect(try command.parameters(environment: { _ in nil }, folder: "/").unset == [setting])
    }

    @Test("a port has its limits")
    func ports() throws {
        func port(_ text: String) throws -> UInt16? {
            let command = try #require(
                try EicectlCommand.parseAsRoot(["set", "web", "--remote-port", text]) as? SetCommand)
            return try command.parameters(environment: { _ in nil }, folder: "/").remotePort
        }
        #expect(try port("1") == 1 && port("65535") == 65_535)
        #expect(throws: Failure.self) { try port("0") }
        #expect(throws: Failure.self) { try port("65536") }
        #expect(try MappingText.parseAll("65534-65535:65534", folder: "/").count == 2)
        #expect(throws: Failure.self) { try MappingText.parseAll("65534-65535:65535", folder: "/") }
        #expect(try MappingText.parse("22:65535", folder: "/").local == .port(65_535))
    }
}

@Suite struct WaitRulesTests {
    private let start = ContinuousClock.now

    @Test("a wait pauses twice as long each time, five seconds at most")
    func pauses() throws {
        var retry = WaitRetry(limit: .seconds(600), from: start)
        var pauses: [Duration] = []
        for _ in 0..<6 { pauses.append(try retry.pause(after: Failure(.deadline, "x"), at: start)) }
        #expect(pauses == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(4), .seconds(5), .seconds(5)])
    }

    @Test("the last attempt begins a fifth of a second before the end, and none after it")
    func theEnd() throws {
        let failure = Failure(.deadline, "x")
        var retry = WaitRetry(limit: .seconds(1), from: start)
        #expect(try retry.pause(after: failure, at: start + .milliseconds(799)) == .milliseconds(200))
        var other = WaitRetry(limit: .seconds(1), from: start)
        #expect(throws: Failure.self) { try other.pause(after: failure, at: start + .milliseconds(800)) }
        #expect(other.left(at: start + .milliseconds(400)) == .milliseconds(600))
    }

    @Test("what may be otherwise in a minute is waited for")
    func kinds() {
        for kind in [
            Failure.Kind.targetNotRunning, .targetWithoutAddress, .targetUnreachable, .unknownTarget, .cannotListen,
            .throttled, .endpointFull, .shuttingDown,
        ] { #expect(WaitRetry.mayPass(kind), "\(kind)") }
        for kind in [Failure.Kind.noEndpoint, .ambiguousTarget, .portRefused, .needsLogin, .usage, .daemonUnreachable] {
            #expect(!WaitRetry.mayPass(kind), "\(kind)")
        }
    }
}

@Suite struct ScreenRulesTests {
    private let now = Timestamp(milliseconds: 1_772_357_400_000)

    private func line(_ kind: ControlEvent.Kind, _ change: (inout ControlEvent) -> Void) -> Substring {
        var event = ControlEvent(kind, at: now)
        change(&event)
        return EventText.line(event).dropFirst("2026-03-01 09:30:00.000  ".count)
    }

    @Test("a connection that was refused is one line, with how often that was")
    func refusals() {
        func text(_ count: Int?) -> Substring {
            line(.connectionRefused) {
                $0.forward = ForwardInfo(name: "web", target: "t", remotePort: 22, addresses: [], maxDuration: 1)
                $0.failure = Failure(.accessDenied, "refused", why: "another user")
                $0.refused = count
            }
        }
        #expect(text(nil) == "connection refused web: another user\n" && text(1) == text(nil))
        #expect(text(2) == "connection refused web: another user, 2 times\n")
    }

    @Test("a forward that kept its name has no other name in its line, and one that does not listen says so")
    func changes() {
        let web = ForwardInfo(name: "web", target: "t", remotePort: 22, addresses: [], maxDuration: 1)
        #expect(
            line(.forwardChanged) {
                $0.forward = web
                $0.was = "web"
            } == "forward changed  web: not listening yet, for t port 22\n")
        #expect(line(.forwardRemoved) { $0.forward = web } == "forward removed  web\n")
        #expect(line(.zoneCrossed) { $0.reason = "billed" } == "zone crossed     billed\n")
        #expect(
            line(.loginNeeded) { $0.login = NeededLogin(profile: "dev", command: "aws sso login") }
                == "login needed     dev: aws sso login\n")
    }

    private func screen(left: Int?, inUse: Int = 1, state: ForwardInfo.State = .listening) -> String {
        let tunnel = TunnelInfo(
            id: "t1", target: "i", remotePort: 22, state: .open, since: now, peer: "p",
            expiresAt: left.map { now.adding(seconds: $0) })
        let status = StatusResult(
            pid: 1, uptime: 1, socket: "/s",
            forwards: [
                ForwardInfo(name: "web", target: "t", remotePort: 22, addresses: [], state: state, maxDuration: 1)
            ],
            tunnels: [tunnel],
            endpoints: [EndpointInfo(id: "e", dnsName: "d", region: "r", slots: .init(inUse: inUse, cap: 2))])
        return StatusScreen.text(status, TunnelRates(), trouble: nil, at: now, Style(colour: true))
    }

    private func red(_ text: String) -> String { "\u{1B}[31m\(text)\u{1B}[0m" }

    @Test("a tunnel is red in its last five minutes, an endpoint when it is full, a forward when it does not listen")
    func colours() {
        #expect(!screen(left: 301).contains(red("5m1s")) && screen(left: 301).contains("5m1s"))
        #expect(screen(left: 300).contains(red("5m")))
        #expect(!screen(left: nil).contains(red("-")))
        #expect(!screen(left: nil, inUse: 1).contains(red("1/2")) && screen(left: nil, inUse: 2).contains(red("2/2")))
        #expect(!screen(left: nil).contains(red("listening")))
        #expect(screen(left: nil, state: .failed).contains(red("failed")))
    }

    @Test("credentials that have ended are red and say for how long", arguments: [(1, false), (0, true), (-60, true)])
    func credentials(left: Int, isOver: Bool) {
        let status = StatusResult(
            pid: 1, uptime: 1, socket: "/s",
            credentials: [CredentialInfo(profile: "dev", expiresAt: now.adding(seconds: left))])
        let text = Output.credentials(status, at: now, Style(colour: true))
        #expect(text.contains("expired") == isOver && text.contains("\u{1B}[31m") == isOver)
    }

    @Test("how many open tunnels go on is said in words")
    func endings() {
        #expect(Output.stopping(ShutdownResult(tunnels: 1, drain: 60)) == "eiced ends; the one open tunnel has 1m\n")
        for (count, rest) in [(0, ""), (1, "; the one open tunnel goes on"), (2, "; 2 open tunnels go on")] {
            #expect(
                Output.stopping(ShutdownResult(tunnels: count, drain: 0, successor: 7))
                    == "eiced has handed over to pid 7\(rest)\n")
        }
    }

    @Test("sizes and ages change their unit where they should")
    func units() {
        #expect(Output.size(10_188) == "9.9 KiB" && Output.size(10_240) == "10 KiB")
        #expect(Output.size(1_048_063) == "1023 KiB" && Output.size(1_048_064) == "1.0 MiB")
        #expect(
            Output.shortly(86_399) == "23h59m" && Output.shortly(86_400) == "1d" && Output.shortly(90_000) == "1d1h")
        #expect(Output.shortly(3_660) == "1h1m" && Output.shortly(61) == "1m1s" && Output.shortly(-5) == "0s")
    }
}
