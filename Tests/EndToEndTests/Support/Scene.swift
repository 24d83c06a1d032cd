import ControlProtocol
import FoundationEssentials
import TestSupport

/// Scenes that run at once. Each has a daemon, most have an emulator and some an sshd, and the machine may have two
/// cores.
private let stage = Turnstile(4)

/// An emulated VPC with one endpoint, and a daemon that uses it.
///
/// | instance | address | |
/// |---|---|---|
/// | `i-0aaaaaaaaaaaaaaa1` (`web`) | 10.0.1.5 | port 22 leads to what the test gives |
/// | `i-0bbbbbbbbbbbbbbb2` (`dead`) | 10.0.1.6 | running, and nothing answers on it |
/// | `i-0ccccccccccccccc3` | 10.0.1.7 | stopped |
/// | `i-0ddddddddddddddd4` | none | without an address |
/// | `i-0eeeeeeeeeeeeeee5` | 10.9.1.5 | in a VPC without an endpoint |
/// | `i-0fffffffffffffff6` | 10.8.1.5 | in a VPC whose endpoints are all unusable |
/// | `i-07777777777777777` (`six`) | 2600:1f13::5 | in a VPC with a dual-stack endpoint; port 22 leads where that of `web` does |
struct Scene: Sendable {
    static let web = "i-0aaaaaaaaaaaaaaa1"
    static let webAddress = "10.0.1.5"
    static let dead = "i-0bbbbbbbbbbbbbbb2"
    static let stopped = "i-0ccccccccccccccc3"
    static let withoutAddress = "i-0ddddddddddddddd4"
    static let withoutEndpoint = "i-0eeeeeeeeeeeeeee5"
    static let withUnusableEndpoint = "i-0fffffffffffffff6"
    static let six = "i-07777777777777777"
    static let sixAddress = "2600:1f13::5"
    static let endpoint = "eice-0aaaaaaaaaaaaaaa1"
    static let unusableEndpoint = "eice-0bbbbbbbbbbbbbbb2"

    let emulator: Emulator
    let daemon: EicedDaemon

    /// Builds a scene, plays `body` in it, and takes it down.
    ///
    /// - Parameters:
    ///   - port: where port 22 of `web` leads.
    ///   - emulator: further arguments of the emulator.
    ///   - environment: changes to the daemon's environment; nil removes a variable.
    ///   - timeouts: changes to ``timeouts``.
    ///   - pool: settings of the pool; no spares, so that each connection that an endpoint sees is one that the test asked
    ///     for.
    ///   - configuration: other tables of config.toml.
    ///   - arguments: of the daemon.
    ///   - authority: one that the daemon trusts beside the emulator's.
    ///   - wrapper: what starts the daemon, with a limit for example.
    static func play(
        port: UInt16, emulator options: [String] = [], environment: [String: String?] = [:],
        timeouts: [String: String] = [:], pool: String = "spares = 0", configuration: String = "",
        arguments: [String] = [], trusting authority: String? = nil, trustsByProfile: Bool = false,
        wrapper: [String] = [], _ body: @Sendable (Scene) async throws -> Void
    ) async throws {
        try await stage.pass {
            let emulator = try await Emulator.start(inventory: inventory(port: port), options: options)
            var variables = emulator.environment
            // AWS_CA_BUNDLE counts for more than a profile's ca_bundle, and SSL_CERT_FILE for less.
            if trustsByProfile { variables["SSL_CERT_FILE"] = variables.removeValue(forKey: "AWS_CA_BUNDLE") }
            for (name, value) in environment { variables[name] = value }
            let folder = try TemporaryDirectory()
            if let authority {
                let own = variables["AWS_CA_BUNDLE"].flatMap(contents) ?? ""
                variables["AWS_CA_BUNDLE"] = try folder.write("roots.pem", own + authority)
            }
            let daemon = try await EicedDaemon.start(
                environment: variables, configuration: Self.table(of: timeouts, pool: pool) + configuration,
                arguments: arguments, wrapper: wrapper)
            defer { withExtendedLifetime(folder) {} }
            do {
                try await body(Scene(emulator: emulator, daemon: daemon))
            } catch {
                throw TestFailure("\(error)\n--- eiced\n\(daemon.log)\n--- emulator\n\(emulator.log)")
            }
            // A test that is through with its daemon must not have broken it.
            if let exit = daemon.process.exit, exit != .code(0) {
                throw TestFailure("eiced ended with \(exit)\n\(daemon.log)")
            }
        }
    }

    /// Plays `body` with a daemon that has no emulator.
    static func alone(
        environment: [String: String] = [:], timeouts: [String: String] = [:],
        _ body: @Sendable (EicedDaemon) async throws -> Void
    ) async throws {
        try await stage.pass {
            let daemon = try await EicedDaemon.start(
                environment: environment, configuration: Self.table(of: timeouts))
            do {
                try await body(daemon)
            } catch {
                throw TestFailure("\(error)\n--- eiced\n\(daemon.log)")
            }
        }
    }

    /// A `proxy` whose input is empty half-closes at once; without a shorter drain each would take ten seconds.
    ///
    /// A step that a test is not about may take several times what it may take a user, on a machine that has other work.
    static let timeouts = ["drain": "500ms"].merging(
        ["resolve": 20, "connect": 10, "proxy": 10, "tls": 8, "upgrade": 10, "dial": 25, "queue": 30].mapValues {
            limit($0)
        }
    ) { $1 }

    /// A time limit of the daemon that is met while other work has to succeed.
    static func limit(_ seconds: Int) -> String { "\(seconds * Patience.factor)s" }

    static func table(of changes: [String: String], pool: String = "spares = 0") -> String {
        let lines = timeouts.merging(changes) { $1 }.map { "\($0.key) = \"\($0.value)\"\n" }
        return "[timeouts]\n\(lines.sorted().joined())\n[pool]\n\(pool)\n"
    }

    /// Waits for a place on the stage, for a test that starts its programs itself.
    static func onStage<Value>(_ body: () async throws -> Value) async throws -> Value { try await stage.pass(body) }

    static func inventory(port: UInt16) -> String {
        """
        {"region": "eu-west-1",
         "endpoints": [
          {"id": "\(endpoint)", "vpc": "vpc-0aaaaaaaaaaaaaaa1", "subnet": "subnet-0aaaaaaaaaaaaaaa1"},
          {"id": "\(unusableEndpoint)", "vpc": "vpc-0cccccccccccccc3", "subnet": "subnet-0ccccccccccccccc3",
           "state": "create-failed"},
          {"id": "eice-07777777777777777", "vpc": "vpc-07777777777777777", "subnet": "subnet-07777777777777777",
           "ipAddressType": "dualstack"}],
         "instances": [
          {"id": "\(web)", "privateIp": "\(webAddress)", "name": "web",
           "vpc": "vpc-0aaaaaaaaaaaaaaa1", "subnet": "subnet-0aaaaaaaaaaaaaaa1"},
          {"id": "\(dead)", "privateIp": "10.0.1.6", "name": "dead",
           "vpc": "vpc-0aaaaaaaaaaaaaaa1", "subnet": "subnet-0aaaaaaaaaaaaaaa1"},
          {"id": "\(stopped)", "privateIp": "10.0.1.7", "state": "stopped",
           "vpc": "vpc-0aaaaaaaaaaaaaaa1", "subnet": "subnet-0aaaaaaaaaaaaaaa1"},
          {"id": "\(withoutAddress)", "vpc": "vpc-0aaaaaaaaaaaaaaa1", "subnet": "subnet-0aaaaaaaaaaaaaaa1"},
          {"id": "\(withoutEndpoint)", "privateIp": "10.9.1.5",
           "vpc": "vpc-0bbbbbbbbbbbbbbb2", "subnet": "subnet-0bbbbbbbbbbbbbbb2"},
          {"id": "\(withUnusableEndpoint)", "privateIp": "10.8.1.5",
           "vpc": "vpc-0cccccccccccccc3", "subnet": "subnet-0ccccccccccccccc3"},
          {"id": "\(six)", "ipv6": "2600:1F13:0::0005", "name": "six",
           "vpc": "vpc-07777777777777777", "subnet": "subnet-07777777777777777"}],
         "targets": {"\(webAddress):22": "127.0.0.1:\(port)", "[\(sixAddress)]:22": "127.0.0.1:\(port)"}}
        """
    }

    // MARK: Shorthands

    /// Adds a forward to port 22 of `target` and returns it.
    @discardableResult
    func add(_ target: String = Scene.web, _ options: String...) async throws -> ForwardInfo {
        try await daemon.add([target, "22"] + options)
    }

    /// Connects through `forward`.
    static func connect(
        _ forward: ForwardInfo, family: LoopbackSocket.Family = .ipv4, receiveBuffer: CInt? = nil
    ) async throws -> LoopbackSocket {
        let port = try forward.port
        return try await onThread {
            try LoopbackSocket.connect(port: port, family: family, receiveBuffer: receiveBuffer)
        }
    }
}

extension ForwardInfo {
    /// The port of its TCP listeners: the same for both families.
    var port: UInt16 {
        get throws {
            guard let text = addresses.first?.split(separator: ":").last, let port = UInt16(text) else {
                throw TestFailure("forward \(name) listens on no port: \(addresses)")
            }
            return port
        }
    }
}

extension EicedDaemon {
    /// Runs `eicectl … --json` and reads its answer; throws what it said when it failed.
    func json<Answer: Decodable>(_ type: Answer.Type, _ arguments: [String]) async throws -> Answer {
        let command = try startEicectl(arguments + ["--json"])
        let result = try await command.result(of: arguments.joined(separator: " "))
        guard result.code == 0 else { throw TestFailure(result.description) }
        do {
            return try JSONDecoder().decode(type, from: Data(result.output.utf8))
        } catch {
            throw TestFailure("\(result)\n\(error)")
        }
    }

    func add(_ arguments: [String]) async throws -> ForwardInfo {
        let added = try await json(ForwardListResult.self, ["add"] + arguments)
        guard let first = added.forwards.first else { throw TestFailure("nothing was added: \(arguments)") }
        return first
    }

    func status() async throws -> StatusResult { try await json(StatusResult.self, ["status"]) }

    func tunnels() async throws -> [TunnelInfo] { try await json(TunnelListResult.self, ["tunnels"]).tunnels }

    func forwards() async throws -> [ForwardInfo] { try await json(ForwardListResult.self, ["ls"]).forwards }

    /// Waits until `count` tunnels are open and none is anything else.
    func waitForTunnels(open count: Int) async throws {
        try await eventually("\(count) tunnels are open") {
            let tunnels = try await self.tunnels()
            return tunnels.count == count && tunnels.allSatisfy { $0.state == .open }
        }
    }
}

/// One round through an echo.
func expectEcho(on socket: LoopbackSocket) async throws {
    let answer = try await onThread {
        try socket.write("ping")
        return try socket.readText()
    }
    guard answer == "ping" else { throw TestFailure("the echo sent \(answer.debugDescription)") }
}
