import AWS
import Basics
import ControlProtocol
import Failures
import Glibc
import InstanceConnect
import SocketIO
import TestSupport
import Testing

@testable import Daemon
@testable import Tunnels

/// Limits at their last allowed value and one beyond it.
@Suite struct LimitTests {
    // MARK: Saved forwards

    private func isGood(_ change: (inout SavedForward) -> Void) throws -> Bool {
        var saved = SavedForward(try .sample("web", bare: true))
        change(&saved)
        return (try? saved.specification()) != nil
    }

    @Test("a saved forward has the limits that requests have")
    func savedForwards() throws {
        for (seconds, isAllowed) in [(0, false), (1, true), (3_600, true), (3_601, false)] {
            #expect(try isGood { $0.tunnel.maxDuration = seconds } == isAllowed, "max duration \(seconds)")
        }
        for (seconds, isAllowed) in [(0, false), (1, true), (86_400, true), (86_401, false)] {
            #expect(try isGood { $0.tunnel.idleTimeout = seconds } == isAllowed, "idle timeout \(seconds)")
        }
        for (count, isAllowed) in [(-1, false), (0, true), (5, true), (6, false)] {
            #expect(try isGood { $0.warm = count } == isAllowed, "warm \(count)")
        }
        #expect(try isGood { $0.remotePort = 1 })
        #expect(try isGood { $0.bind = "::1" } && isGood { $0.bind = "127.9.9.9" })
        #expect(try !isGood { $0.bind = "192.168.1.1" })
        #expect(
            try isGood {
                $0.bind = "192.168.1.1"
                $0.allowRemote = true
            })
        #expect(
            try !isGood {
                $0.bind = "192.168.1.1"
                $0.allowRemote = false
            })
    }

    // MARK: Requests

    private let translation = RequestTranslation(configuration: Configuration(), environment: Environment([:]))

    private func isTaken(_ change: (inout ForwardAddParameters) -> Void) -> Bool {
        var parameters = ForwardAddParameters(target: "10.0.0.1", mappings: [Mapping(remotePort: 22)])
        change(&parameters)
        return (try? translation.forwards(parameters)) != nil
    }

    @Test("a request may ask for the last value of each range and for none beyond")
    func requests() {
        for (seconds, isAllowed) in [(0, false), (1, true), (3_600, true), (3_601, false)] {
            #expect(isTaken { $0.options.maxDuration = seconds } == isAllowed, "max duration \(seconds)")
        }
        for (seconds, isAllowed) in [(-1, false), (0, true), (1, true), (86_400, true), (86_401, false)] {
            #expect(isTaken { $0.options.idleTimeout = seconds } == isAllowed, "idle timeout \(seconds)")
        }
        for (count, isAllowed) in [(-1, false), (0, true), (5, true), (6, false)] {
            #expect(isTaken { $0.warm = count } == isAllowed, "warm \(count)")
        }
        #expect(!isTaken { $0.mappings = [Mapping(remotePort: 0)] })
        // A name that is not an address could lead anywhere; `localhost` means the loopback addresses (RFC 6761, section 6.3).
        #expect(!isTaken { $0.bind = "nohost" })
        #expect(isTaken { $0.bind = "localhost" })
    }

    @Test("a made-up name is as long as a name may be, and keeps its port")
    func names() throws {
        let parameters = ForwardAddParameters(
            target: String(repeating: "a", count: 100), mappings: [Mapping(remotePort: 22), Mapping(remotePort: 3_389)])
        let names = try translation.forwards(parameters).map(\.name)
        #expect(names.map(\.count) == [64, 64])
        #expect(zip(names, ["-22", "-3389"]).allSatisfy { $0.hasSuffix($1) })
    }

    @Test("a proxy is served first unless it says otherwise, and a forward only if it says so")
    func priorities() throws {
        for (priority, ofTunnel, ofForward) in [
            (nil, TunnelPriority.interactive, TunnelPriority.normal), (.normal, .normal, .normal),
            (.interactive, .interactive, .interactive),
        ] as [(Priority?, TunnelPriority, TunnelPriority)] {
            let options = TunnelOptions(priority: priority)
            let tunnel = try translation.tunnel(
                ConnectParameters(target: "10.0.0.1", remotePort: 22, options: options), peer: "p")
            let forward = try translation.forwards(
                ForwardAddParameters(target: "10.0.0.1", mappings: [Mapping(remotePort: 22)], options: options)
            ).first
            #expect(tunnel.priority == ofTunnel && forward?.priority == ofForward)
        }
    }

    @Test(
        "a setting cannot be both set and unset",
        arguments: ForwardSetParameters.Setting.allCases.filter { $0 != .environment })
    func contradictions(setting: ForwardSetParameters.Setting) throws {
        var parameters = ForwardSetParameters(forward: "web", unset: [setting])
        let old = try ForwardSpecification.sample("web")
        #expect(throws: Never.self) { try translation.changed(old, parameters) }
        // The variables of a shell cannot be set.
        if let row = TunnelSetting.all.first(where: { $0.name == setting.rawValue }) {
            parameters.options = TunnelOptions(with: row)
        } else {
            #expect(setting == .bind)
            parameters.bind = "127.0.0.1"
        }
        let failure = #expect(throws: Failure.self) { try translation.changed(old, parameters) }
        #expect(failure?.kind == .invalidRequest && failure?.what.hasPrefix(setting.rawValue) == true)
        if setting == .endpoint {
            parameters.options = TunnelOptions(endpointDNSName: "x.example")
            #expect(throws: Failure.self) { try translation.changed(old, parameters) }
        }
    }

    // MARK: The configuration

    @Test("names in the configuration have their limits")
    func configuredNames() {
        #expect(Identifier.isName(String(repeating: "a", count: 512)))
        #expect(!Identifier.isName(String(repeating: "a", count: 513)) && !Identifier.isName(""))
        #expect(
            Identifier.isName(" ~") && !Identifier.isName("\u{1F}") && !Identifier.isName("\u{7F}")
        )
        #expect(ForwardSpecification.isAcceptableName(String(repeating: "a", count: 64)))
        #expect(!ForwardSpecification.isAcceptableName(String(repeating: "a", count: 65)))
        #expect(ForwardSpecification.isAcceptableName("aZ9._-") && !ForwardSpecification.isAcceptableName("a/b"))
        #expect(Identifier.isHostName(String(repeating: "a", count: 253)))
        #expect(!Identifier.isHostName(String(repeating: "a", count: 254)))
        #expect(!Identifier.isHostName(".a") && Identifier.isHostName("A-b.C"))
        #expect(Identifier.isEndpoint("eice-0") && !Identifier.isEndpoint("eice-"))
        #expect(!Identifier.isEndpoint("eice-A") && !Identifier.isEndpoint("i-0"))
        #expect(Identifier.isRegion("eu-west-1") && !Identifier.isRegion("EU-west-1"))
    }

    @Test(
        "a phase that may last longer than its dial is warned about",
        arguments: ["resolve", "connect", "proxy", "tls", "upgrade"])
    func phases(phase: String) throws {
        func warnings(_ milliseconds: Int) throws -> [String] {
            let text = "[timeouts]\ndial = \"20s\"\n\(phase) = \"\(milliseconds)ms\"\n"
            return try Configuration.parse(Array(text.utf8), file: "c.toml").warnings
        }
        #expect(try warnings(20_000).isEmpty)
        #expect(try warnings(20_001).map { $0.contains("timeouts.\(phase)") } == [true])
    }

    @Test("a user is named by a number that can be one, or by a name that there is")
    func users() throws {
        func users(_ text: String) -> Set<UInt32>? {
            let text = "[defaults]\nallow_users = [\(text)]\n"
            return (try? Configuration.parse(Array(text.utf8), file: "c.toml"))?.0.defaults.allowUsers
        }
        #expect(users("0, 4294967294, \"root\"") == [0, 4_294_967_294])
        for bad in ["-1", "4294967295", "4294967296", "\"nobody-of-this-name\"", "\"\"", "\"a\\u0000\"", "true"] {
            #expect(users(bad) == nil, "\(bad)")
        }
    }

    @Test("a mistyped name is found within a third of its letters")
    func nearestNames() {
        #expect(NearestName.of("abcdxy", among: ["abcdef"]) == "abcdef")
        #expect(NearestName.of("abcxyz", among: ["abcdef"]) == nil)
        #expect(NearestName.of("ab", among: ["xb"]) == "xb" && NearestName.of("ab", among: ["xy"]) == nil)
        #expect(
            NearestName.of("abd", among: ["abcdefghi"]) == nil
                && NearestName.of("abc", among: ["abcdefghi"]) == "abcdefghi")
        #expect(NearestName.of("ab", among: ["abcdefghi"]) == nil, "two letters are the beginning of too much")
        let long = String(repeating: "a", count: 64)
        #expect(NearestName.of(long, among: [long + "b"]) == long + "b")
        #expect(NearestName.of(long + "a", among: [long + "b"]) == nil)
    }

    @Test("a socket below /tmp is refused inside the sandbox, and nowhere else")
    func sandbox() {
        let sandbox = Sandbox(dropIn: "d")
        for (path, isAllowed) in [("/tmp/s", false), ("/var/tmp/a/s", false), ("/tmpx/s", true), ("/run/tmp/s", true)] {
            #expect(((try? sandbox.check(socket: path)) != nil) == isAllowed, "\(path)")
        }
        #expect(Sandbox(Environment([:])) == nil)
        let outside = RequestTranslation(configuration: Configuration(), environment: Environment([:]))
        let inside = RequestTranslation(
            configuration: Configuration(), environment: Environment(["EICED_SANDBOX": "d"]))
        #expect(throws: Never.self) { try outside.place(.path("/tmp/s")) }
        #expect(throws: Failure.self) { try inside.place(.path("/tmp/s")) }
        #expect(throws: Never.self) { try inside.place(.port(0)) }
    }

    @Test("the users of a namespace end with its last one")
    func namespaces() {
        let users = VisibleUsers(map: "0 1000 1\n1 100000 65536\nrubbish\n")
        #expect(users.contains(0) && users.contains(1) && users.contains(65_536))
        #expect(!users.contains(65_537))
    }

    @Test("ends that are as old as the window cost nothing")
    func crashLoop() {
        func hold(_ age: Duration) -> Duration { CrashLoop.hold(after: [age, .zero, .zero, .zero]) }
        #expect(hold(CrashLoop.window - .milliseconds(1)) == .milliseconds(500))
        #expect(hold(CrashLoop.window) == .zero)
    }

    // MARK: The disk

    @Test("a state file may have 8 MiB and no byte more")
    func stateFiles() throws {
        let folder = try TemporaryDirectory("state")
        let state = try StateFolder(opening: folder("a/b/eiced"))
        for path in ["a", "a/b", "a/b/eiced"] {
            var status = stat()
            #expect(stat(folder(path), &status) == 0 && status.st_mode & 0o777 == 0o700, "\(path)")
        }
        let path = try folder.write("a/b/eiced/f", [1])
        #expect(truncate(path, 8 << 20) == 0)
        guard case .bytes(let bytes) = try state.read("f") else {
            Issue.record("8 MiB are refused")
            return
        }
        #expect(bytes.count == 8 << 20)
        #expect(truncate(path, 8 << 20 + 1) == 0)
        #expect(try state.read("f") == .foreign("it is longer than 8 MiB"))
        #expect(try state.read("none") == .nothing)
        try state.remove("none")
        try state.remove("f")
        #expect(try state.read("f") == .nothing)
    }

    @Test("the audit keeps five files of 10 MiB")
    func audit() {
        let file = AuditFile(folder: "/f")
        #expect(file.limit == 10 << 20 && file.count == 5 && AuditLog.capacity == 4_096)
        #expect(AuditFile(environment: Environment(["XDG_STATE_HOME": "/s"]))?.path == "/s/eiced/audit.jsonl")
    }

    @Test("an audit of one file begins it again when it is full")
    func auditOfOneFile() throws {
        let folder = try TemporaryDirectory("state")
        let file = AuditFile(folder: folder.path, limit: 4, count: 1)
        for text in ["aaa\n", "bbb\n"] { #expect(file.append([Array(text.utf8)]) == (1, nil)) }
        #expect(contents(of: folder("audit.jsonl")) == "bbb\n" && contents(of: folder("audit.jsonl.1")) == nil)
    }
}
