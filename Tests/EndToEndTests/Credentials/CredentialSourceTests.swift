import ControlProtocol
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// Every source of credentials with the built daemon, from the profile to an open tunnel.
@Suite struct CredentialSourceTests {
    private static func play(
        port: UInt16, timeouts: [String: String] = [:], more: [String: String?] = [:],
        _ body: @Sendable (Scene, IdentityScene) async throws -> Void
    ) async throws {
        let person = try IdentityScene()
        try await Scene.play(
            port: port, emulator: ["--session-token"], environment: person.environment.merging(more) { $1 },
            timeouts: timeouts
        ) { scene in
            try person.moveIn(with: scene.emulator.environment)
            try await body(scene, person)
        }
    }

    private static func proxy(_ scene: Scene, _ profile: String?, _ target: String = Scene.web) throws -> ChildProcess {
        try scene.daemon.startEicectl(
            ["proxy", target, "22", "--stdio"] + (profile.map { ["--profile", $0] } ?? []))
    }

    private static func run(_ scene: Scene, _ profile: String?) async throws -> CommandResult {
        try await proxy(scene, profile).result(of: "proxy of \(profile ?? "nobody")")
    }

    @Test func eachSourceLeadsToATunnel() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Self.play(port: greeter.port) { scene, person in
            for profile in IdentityScene.profiles.map(Optional.some) + [nil] {
                let result = try await Self.run(scene, profile)
                #expect(result.code == 0, "\(profile ?? "container"): \(result)")
            }
            let asked = Set(person.services.requests.map { String($0.target.prefix { $0 != "?" }) })
            #expect(asked == ["/", "/federation/credentials", "/token", "/container"])
            let container = person.services.requests.first { $0.target == "/container" }
            #expect(container?.header("authorization") == person.secret("container token"))
        }
    }

    @Test func theInstancesRoleLeadsToATunnel() async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        let variables: [String: String?] = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": .none, "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": person.services.url,
        ]
        try await Scene.play(
            port: greeter.port, emulator: ["--session-token"],
            environment: person.environment.merging(variables) { $1 }
        ) { scene in
            try person.moveIn(with: scene.emulator.environment)
            let result = try await Self.run(scene, nil)
            #expect(result.code == 0, "\(result)")
            #expect(person.services.requests.map(\.method) == ["PUT", "GET", "PUT", "GET"])
            #expect(person.services.requests.last?.header("x-aws-ec2-metadata-token") == "v2")
        }
    }

    /// The roots belong to the profile, for its tunnels as for its calls.
    @Test func aProfilesOwnTrustRootsAreThoseOfItsTunnels() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Self.play(port: greeter.port, more: ["AWS_CA_BUNDLE": .none]) { scene, person in
            let roots = try #require(scene.emulator.environment["AWS_CA_BUNDLE"])
            try person.add(profile: "trusting", "ca_bundle = \(roots)")
            try person.add(profile: "missing", "ca_bundle = \(person.home("missing.pem"))")
            for _ in 0..<2 {
                let trusted = try await Self.run(scene, "trusting")
                #expect(trusted.code == 0, "\(trusted)")
                // Nor does it get a connection that was made for the other one.
                let distrusted = try await Self.run(scene, "keys")
                #expect(distrusted.code == 76, "\(distrusted)")
            }
            let missing = try await Self.run(scene, "missing")
            #expect(missing.code == 78 && missing.errors.contains("missing.pem"), "\(missing)")
        }
    }

    @Test func whileALoginIsMissingConnectionsWaitAndGoOnWhenItIsThere() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Self.play(port: greeter.port) { scene, person in
            let forward = try await scene.add(
                Scene.webAddress, "--name", "sso", "--profile", "sso", "--endpoint", Scene.endpoint, "--endpoint-dns",
                "\(Scene.endpoint).ec2-instance-connect-endpoint.eu-west-1.amazonaws.com")
            person.logOut()
            let follower = try scene.daemon.startEicectl(["events", "--follow"])
            defer { follower.signal(SIGTERM) }
            var attempts = 0
            try await eventually("the follower follows") {
                attempts += 1
                try await scene.add(Scene.web, "--name", "trial-\(attempts)")
                return follower.standardOutput.contains("trial")
            }
            let client = try await Scene.connect(forward)
            let waiting = try (0..<3).map { _ in try Self.proxy(scene, "sso") }
            try await eventually("the status says what to run") {
                try await scene.daemon.status().needsLogin.map(\.command) == ["aws sso login --profile sso"]
            }
            let screen = try await scene.daemon.eicectl("status")
            #expect(screen.output.contains("aws sso login --profile sso"), "\(screen)")
            try await eventually("the event says it as well") {
                follower.standardOutput.contains("aws sso login --profile sso")
            }
            let refused = try await scene.daemon.eicectl("add", Scene.web, "22", "--profile", "sso")
            #expect(refused.code == 77, "whoever sits there is told at once: \(refused)")
            // Others do not notice.
            for profile in ["keys", "legacy"] {
                #expect(try await Self.run(scene, profile).code == 0)
            }
            #expect(waiting.allSatisfy { $0.exit == nil })
            try await eventually("whoever waits is told what to run") {
                waiting.allSatisfy {
                    $0.standardError.contains("eicectl: waiting: profile sso needs a log-in")
                        && $0.standardError.contains("eicectl: hint: aws sso login --profile sso\n")
                }
            }

            try person.logIn()
            for proxy in waiting {
                let result = try await proxy.result(of: "proxy")
                #expect(result.code == 0, "\(result)")
            }
            let banner = try await onThread { try client.readLine() }
            #expect(!banner.isEmpty)
            client.close()
            #expect(try await scene.daemon.status().needsLogin.isEmpty)
        }
    }

    @Test func aLoginThatIdentityCenterRefusesIsMissingToo() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Self.play(port: greeter.port) { scene, person in
            person.accept([])
            try person.logIn()
            let proxy = try Self.proxy(scene, "sso")
            try await eventually("the status says what to run") {
                try await scene.daemon.status().needsLogin.map(\.command) == ["aws sso login --profile sso"]
            }
            #expect(proxy.exit == nil)
            person.accept([person.secret("access token")])
            try person.logIn(ending: "2098-01-01T00:00:00Z")
            let result = try await proxy.result(of: "proxy")
            #expect(result.code == 0, "\(result)")
        }
    }

    @Test func aHangingSourceCostsItsDeadlineAndNobodyElsesTime() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Self.play(port: greeter.port, timeouts: ["resolve": Scene.limit(5)]) { scene, person in
            person.set(.hangs)
            let hanging = try ["hanging", "sso", "role", "web"].map { ($0, try Self.proxy(scene, $0)) }
            for _ in 0..<3 {
                #expect(try await Self.run(scene, "keys").code == 0)
                #expect(try await Self.run(scene, "process").code == 0)
            }
            let sources = [
                "hanging": "credential_process", "sso": "IAM Identity Center", "role": "assumed role",
                "web": "web identity",
            ]
            for (profile, proxy) in hanging {
                let result = try await proxy.result(of: profile)
                // A helper of this machine that hangs is a fault here; what is across a network may answer later.
                #expect(result.code == (profile == "hanging" ? 78 : 75), "\(profile): \(result)")
                #expect(result.errors.contains(sources[profile] ?? "?"), "\(profile): \(result)")
                #expect(result.errors.contains("profile \(profile)"), "\(profile): \(result)")
            }
            let added = try await scene.daemon.eicectl("add", Scene.web, "22", "--profile", "hanging")
            #expect(added.code == 78 && added.errors.contains("credential_process"), "\(added)")
            // No endpoint is blamed for it.
            #expect(try await scene.daemon.status().endpoints.allSatisfy { $0.lastFailure == nil })
            person.set(.works)
            #expect(try await Self.run(scene, "sso").code == 0)
        }
    }
}
