import ControlProtocol
import Glibc
import TestSupport
import Testing

/// A shell that names another identity than the daemon's, in each way that AWS knows, through the built programs.
@Suite struct ShellIdentityTests {
    /// No shell has these keys, and no service takes them: what is done with the daemon's account fails.
    private static let daemonsOwn: [String: String?] = [
        "AWS_ACCESS_KEY_ID": "AKIAI44QH8DHBEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_SESSION_TOKEN": .none,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": .none, "AWS_CONTAINER_AUTHORIZATION_TOKEN": .none,
    ]
    /// A shell without the daemon's keys.
    private static let bare = ["AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""]

    enum Way: String, CaseIterable, Sendable {
        case profile = "AWS_PROFILE"
        case defaultProfile = "AWS_DEFAULT_PROFILE"
        case credentialsFile = "AWS_SHARED_CREDENTIALS_FILE"
        case configFile = "AWS_CONFIG_FILE"
        case webIdentity = "AWS_WEB_IDENTITY_TOKEN_FILE"
        case metadata = "AWS_EC2_METADATA_SERVICE_ENDPOINT"

        /// The shell that names the emulator's keys in this way.
        func variables(_ person: IdentityScene, _ keys: [String: String]) throws -> [String: String] {
            let lines = """
                aws_access_key_id = \(keys["AWS_ACCESS_KEY_ID"] ?? "")
                aws_secret_access_key = \(keys["AWS_SECRET_ACCESS_KEY"] ?? "")
                aws_session_token = \(keys["AWS_SESSION_TOKEN"] ?? "")

                """
            switch self {
            case .profile, .defaultProfile: return [rawValue: "keys"]
            case .credentialsFile, .configFile:
                return [rawValue: try person.home.write("own-\(rawValue)", "[default]\n\(lines)")]
            case .webIdentity: return [rawValue: person.home("jwt"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"]
            case .metadata: return [rawValue: person.services.url, "AWS_EC2_METADATA_DISABLED": "false"]
            }
        }
    }

    private static func play(
        _ body: @escaping @Sendable (Scene, IdentityScene, LoopbackServer) async throws -> Void
    ) async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        let environment = person.environment.merging(daemonsOwn) { $1 }
        try await Scene.play(port: greeter.port, emulator: ["--session-token"], environment: environment) { scene in
            try person.moveIn(with: scene.emulator.environment)
            try await body(scene, person, greeter)
        }
    }

    private static func greets(_ forward: ForwardInfo) async throws -> Bool {
        let socket = try await Scene.connect(forward)
        return (try? await onThread { try socket.readText() })?.hasPrefix("SSH-2.0") == true
    }

    @Test("the daemon's own identity is used by a shell that names none")
    func ownIdentity() async throws {
        try await Self.play { scene, _, greeter in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", environment: Self.bare)
            #expect(result.code == 77, "\(result)")
            #expect(greeter.acceptedCount == 0)
        }
    }

    @Test("proxy uses the identity that the shell names", arguments: Way.allCases)
    func proxy(way: Way) async throws {
        try await Self.play { scene, person, _ in
            let shell = Self.bare.merging(try way.variables(person, scene.emulator.environment)) { $1 }
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", environment: shell)
            #expect(result.code == 0 && result.output.hasPrefix("SSH-2.0"), "\(result)")
            // The daemon's own identity is not changed by it.
            let own = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", environment: Self.bare)
            #expect(own.code == 77, "\(own)")
        }
    }

    @Test(
        "a forward keeps the identity of the shell that added it, through reload and restart", arguments: Way.allCases)
    func forward(way: Way) async throws {
        try await Self.play { scene, person, _ in
            let shell = Self.bare.merging(try way.variables(person, scene.emulator.environment)) { $1 }
            func add() async throws -> CommandResult {
                try await scene.daemon.eicectl("add", Scene.web, "22", "--name", "web", environment: shell)
            }
            let added = try await add()
            #expect(added.code == 0, "\(added)")
            let again = try await add()
            #expect(again.code == 0, "the same request again: \(again)")
            let forward = try #require(try await scene.daemon.forwards().first)
            #expect(try await Self.greets(forward))
            if [.profile, .defaultProfile].contains(way) {
                #expect(forward.profile == "keys" && forward.environment == nil)
            } else {
                #expect(forward.environment?[way.rawValue] == shell[way.rawValue])
            }
            #expect(try await scene.daemon.eicectl("reload").code == 0)
            #expect(try await scene.daemon.eicectl("set", "web", "--warm", "1", environment: Self.bare).code == 0)
            #expect(try await scene.daemon.forwards().first?.environment == forward.environment)
            #expect(try await Self.greets(forward))

            _ = try await scene.daemon.eicectl("shutdown", "--drain", "0s")
            #expect(try await scene.daemon.process.exit() == .code(0))
            let next = try await EicedDaemon.start(
                environment: scene.daemon.environment, configuration: Scene.table(of: [:]), in: scene.daemon.directory)
            let saved = try #require(try await next.forwards().first)
            #expect(saved.environment == forward.environment && saved.profile == forward.profile)
            #expect(try await Self.greets(saved))
            _ = try await next.eicectl("shutdown", "--drain", "0s")
            try await next.process.exit()
        }
    }

    @Test("a hand-over keeps the identity of an ephemeral forward")
    func handover() async throws {
        try await Self.play { scene, person, _ in
            let shell = Self.bare.merging(
                try Way.credentialsFile.variables(person, scene.emulator.environment)
            ) { $1 }
            let added = try await scene.daemon.eicectl(
                "add", Scene.web, "22", "--name", "web", "--ephemeral", environment: shell)
            #expect(added.code == 0, "\(added)")
            let before = try #require(try await scene.daemon.forwards().first)
            let result = try await scene.daemon.json(ShutdownResult.self, ["shutdown", "--handover"])
            let new = try #require(result.successor)
            let after = try #require(try await scene.daemon.forwards().first)
            #expect(before.environment != nil && after.environment == before.environment)
            #expect(try await Self.greets(after))
            _ = try await scene.daemon.eicectl("shutdown", "--drain", "0s")
            try await eventually("it ends") { kill(pid_t(new), 0) != 0 }
        }
    }

    @Test("set reads a profile from the files of the shell that names it, and can forget them")
    func set() async throws {
        try await Self.play { scene, person, _ in
            let keys = contents(of: person.home(".aws/credentials")) ?? ""
            let file = try person.home.write("elsewhere", keys.replacing("[keys]", with: "[elsewhere]"))
            // Added with the daemon's own identity, which no service takes, so nothing is looked up.
            let pinned = ["10.0.1.5", "22", "--name", "web", "--region", "eu-west-1"] + pinnedEndpoint
            let forward = try await scene.daemon.add(pinned)
            let shell = Self.bare.merging(["AWS_SHARED_CREDENTIALS_FILE": file]) { $1 }
            let other = try await scene.daemon.eicectl("set", "web", "--warm", "0", "--name", "web", environment: shell)
            #expect(other.code == 0, "\(other)")
            #expect(try await scene.daemon.forwards().first?.environment == nil)
            let set = try await scene.daemon.eicectl(
                "set", "web", "--profile", "elsewhere", "--unset", "endpoint", environment: shell)
            #expect(set.code == 0, "\(set)")
            #expect(try await scene.daemon.forwards().first?.environment?["AWS_SHARED_CREDENTIALS_FILE"] == file)
            #expect(try await Self.greets(forward))
            let back = try await scene.daemon.eicectl(
                "set", "web", "--profile", "keys", "--unset", "environment", environment: shell)
            #expect(back.code == 0, "\(back)")
            #expect(try await scene.daemon.forwards().first?.environment == nil)
            #expect(try await Self.greets(forward))
        }
    }

    @Test(
        "what cannot travel is refused by its name, and the daemon's account is not used",
        arguments: [
            "AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CREDENTIAL_FILE", "BOTO_CONFIG",
        ])
    func refused(name: String) async throws {
        try await Self.play { scene, person, greeter in
            let value =
                switch name {
                case "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"
                case "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/own"
                default: "/own"
                }
            let shell = Self.bare.merging([name: value]) { $1 }
            for arguments in [["add", Scene.web, "22"], ["proxy", Scene.web, "22", "--stdio"]] {
                let result = try await scene.daemon.startEicectl(arguments, environment: shell).result(of: "eicectl")
                #expect(result.code == 78, "\(result)")
                #expect(result.errors.contains("error: ") && result.errors.contains(name), "\(result)")
                #expect(result.errors.contains("hint: "), "\(result)")
            }
            #expect(try await scene.daemon.forwards().isEmpty)
            #expect(greeter.acceptedCount == 0)
        }
    }

    @Test("services and trust are those that the shell names")
    func servicesAndTrust() async throws {
        let greeter = try LoopbackServer.greeter()
        let elsewhere: [String: String?] = ["AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:1", "AWS_CA_BUNDLE": .none]
        try await Scene.play(port: greeter.port, environment: elsewhere) { scene in
            let emulator = scene.emulator.environment
            let service = ["AWS_ENDPOINT_URL_EC2": "", "AWS_ENDPOINT_URL": emulator["AWS_ENDPOINT_URL_EC2"] ?? ""]
            let trust = ["AWS_CA_BUNDLE": emulator["AWS_CA_BUNDLE"] ?? ""]
            let both = service.merging(trust) { $1 }
            let proxied = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", environment: both)
            #expect(proxied.code == 0 && proxied.output.hasPrefix("SSH-2.0"), "\(proxied)")
            for one in [service, trust] {
                let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", environment: one)
                #expect(result.code != 0, "neither the service's answers nor spares are shared: \(result)")
            }
            let added = try await scene.daemon.eicectl("add", Scene.web, "22", environment: both)
            #expect(added.code == 0, "\(added)")
            let forward = try #require(try await scene.daemon.forwards().first)
            #expect(try await Self.greets(forward))
            // The emulated endpoint has no such name.
            let fips = both.merging(["AWS_USE_FIPS_ENDPOINT": "true"]) { $1 }
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", environment: fips)
            #expect(result.errors.contains("has no FIPS DNS name"), "\(result)")
        }
    }
}
