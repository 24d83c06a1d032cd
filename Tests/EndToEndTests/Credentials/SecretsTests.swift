import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// Plants a secret in every place that has one, does all that can be done, well and badly, and looks for them in everything that
/// leaves the daemon: log at every level, errors, events, status, audit, saved forwards, argument lists.
@Suite struct SecretsTests {
    /// What was seen, by where.
    private struct Finds {
        var texts: [(place: String, text: String)] = []

        mutating func add(_ place: String, _ text: String) { texts.append((place, text)) }

        func expectNone(of secrets: [String: String]) {
            for (name, secret) in secrets {
                #expect(!secret.isEmpty, "\(name) is planted")
                for (place, text) in texts where text.contains(secret) {
                    Issue.record("the \(name) stands in \(place)")
                }
            }
        }
    }

    /// The argument lists of all processes, but for those that a test wrote a secret into itself.
    private static func argumentLists() -> String {
        var lists = ""
        guard let folder = opendir("/proc") else { return lists }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.allSatisfy(\.isNumber), let text = contents(of: "/proc/\(name)/cmdline") else { continue }
            lists += text.replacing("\0", with: " ") + "\n"
        }
        return lists
    }

    private static func secrets(_ scene: Scene, _ person: IdentityScene) -> [String: String] {
        var secrets = person.planted
        secrets["secret key"] = scene.emulator.environment["AWS_SECRET_ACCESS_KEY"]
        secrets["session token"] = scene.emulator.environment["AWS_SESSION_TOKEN"]
        return secrets
    }

    @Test func noSecretLeavesTheDaemon() async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        try await Scene.play(
            port: greeter.port, emulator: ["--session-token"], environment: person.environment,
            timeouts: ["resolve": "5s"], arguments: ["--log-level", "trace"]
        ) { scene in
            try person.moveIn(with: scene.emulator.environment)
            var finds = Finds()
            let follower = try scene.daemon.startEicectl(["events", "--follow", "--json"])
            defer { follower.signal(SIGTERM) }
            let profiles: [String?] = IdentityScene.profiles + [nil, "chatter", "hanging", "unknown"]
            var codes: [Int32?] = []
            for mode in [IdentityScene.Mode.works, .broken] {
                person.set(mode)
                // What is known of the files is not used again: the sources are asked anew.
                try person.moveIn(with: scene.emulator.environment)
                for profile in profiles {
                    let options = profile.map { ["--profile", $0] } ?? []
                    let add = try scene.daemon.startEicectl(["add", Scene.web, "22", "--json"] + options)
                    let proxy = try scene.daemon.startEicectl(["proxy", Scene.web, "22", "--stdio"] + options)
                    if profile == "hanging" {
                        try await eventually("the helper runs") { Self.argumentLists().contains("sleep 600") }
                        finds.add("an argument list", Self.argumentLists())
                    }
                    for (name, command) in [("add", add), ("proxy", proxy)] {
                        let result = try await command.result(of: name)
                        codes.append(result.code)
                        finds.add("\(name) with \(profile ?? "the default")", "\(result.output)\(result.errors)")
                    }
                }
            }
            // The token was written anew, so that its service is asked, which does not answer.
            person.set(.hangs)
            try person.moveIn(with: scene.emulator.environment)
            let hanging = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "web")
            codes.append(hanging.code)
            finds.add("proxy with STS that hangs", hanging.errors)
            person.logOut()
            let loggedOut = try await scene.daemon.eicectl("add", Scene.dead, "22", "--profile", "sso")
            codes.append(loggedOut.code)
            finds.add("add without a log-in", loggedOut.errors)
            #expect(codes.contains(0) && codes.contains(75) && codes.contains(77) && codes.contains(78), "\(codes)")
            for arguments in [
                ["status", "--json"], ["status"], ["ls", "--json"], ["tunnels", "--json"], ["endpoints", "--json"],
                ["events", "--json"], ["metrics"],
            ] {
                let result = try await scene.daemon.startEicectl(arguments).result(of: arguments.joined(separator: " "))
                #expect(result.code == 0, "\(result)")
                finds.add("eicectl \(arguments.joined(separator: " "))", result.output + result.errors)
            }
            #expect(try await scene.daemon.eicectl("shutdown").code == 0)
            #expect(try await scene.daemon.process.exit() == .code(0))
            finds.add("the events", follower.standardOutput)
            for file in ["audit.jsonl", "forwards.json"] {
                let text = try #require(contents(of: scene.daemon.directory("state/eiced/\(file)")), "\(file)")
                finds.add(file, text)
            }
            finds.add("the log", scene.daemon.log)
            finds.add("the emulator's log", scene.emulator.log)

            finds.expectNone(of: Self.secrets(scene, person))
            // A presigned address is a secret for a minute, and the log went as deep as it can.
            #expect(!scene.daemon.log.contains("X-Amz-Signature=") && scene.daemon.log.contains("debug"))
            #expect(finds.texts.first { $0.place == "the events" }?.text.contains("tunnel.opened") == true)
        }
    }

    @Test func aProxysPasswordIsSentToTheProxyAndShownNowhere() async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        let proxy = try HTTPStub { _ in .init(407) }
        let address = "http://ann:\(person.secret("proxy password"))@127.0.0.1:\(proxy.port)"
        var variables = person.environment
        // The log-in's service is asked for a fresh token, over the proxy, since that is where its name would lead.
        variables["AWS_ENDPOINT_URL_SSO_OIDC"] = .some(nil)
        for name in ["HTTPS_PROXY", "https_proxy"] { variables[name] = address }
        variables["NO_PROXY"] = "127.0.0.1,.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"
        try await Scene.play(
            port: greeter.port, emulator: ["--session-token"], environment: variables,
            arguments: ["--log-level", "trace"]
        ) { scene in
            try person.moveIn(with: scene.emulator.environment)
            try person.logIn(ending: "2020-01-01T00:00:00Z")
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "sso")
            #expect(result.code != 0, "\(result)")
            #expect(result.errors.contains("127.0.0.1:\(proxy.port)"), "the proxy is named: \(result)")
            let request = try #require(proxy.requests.first)
            #expect(request.method == "CONNECT" && request.header("proxy-authorization")?.hasPrefix("Basic ") == true)
            var finds = Finds()
            finds.add("the answer", result.errors)
            finds.add("the log", scene.daemon.log)
            finds.add("the status", try await scene.daemon.eicectl("status", "--json").output)
            finds.add("an argument list", Self.argumentLists())
            let encoded = String(request.header("proxy-authorization")?.dropFirst("Basic ".count) ?? "")
            finds.expectNone(of: ["proxy password": person.secret("proxy password"), "its encoded form": encoded])
            // Whoever needs no log-in does not notice.
            let other = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "keys")
            #expect(other.code == 0, "\(other)")
        }
    }
}
