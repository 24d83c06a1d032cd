import TestSupport
import Testing

/// Targets that cannot be reached, for reasons that the EC2 API tells: one sentence each, naming the ids, exit 68.
@Suite struct TargetTests {
    @Test func eachUnusableTargetHasItsOwnSentence() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let cases: [(target: String, words: [String])] = [
                ("i-0123456789abcdef0", ["i-0123456789abcdef0"]),
                (Scene.withoutEndpoint, [Scene.withoutEndpoint, "vpc-0bbbbbbbbbbbbbbb2"]),
                (Scene.withUnusableEndpoint, [Scene.unusableEndpoint, "create-failed"]),
                (Scene.stopped, [Scene.stopped, "stopped"]),
                (Scene.withoutAddress, [Scene.withoutAddress]),
                ("10.0.99.99", ["10.0.99.99"]),
                ("nobody", ["nobody"]),
            ]
            for (target, words) in cases {
                let result = try await scene.daemon.eicectl("proxy", target, "22", "--stdio")
                #expect(result.code == 68, "\(result)")
                #expect(result.output.isEmpty, "\(result)")
                for word in words { #expect(result.errors.contains(word), "\(word) is missing: \(result)") }
                #expect(result.errors.split(separator: "\n").filter { $0.contains("error:") }.count == 1, "\(result)")
            }
            // Nothing of it stays.
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test func aTargetCanBeNamedByIdAddressNameTagAndPrivateName() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            for target in [Scene.web, Scene.webAddress, "web", "ip-10-0-1-5.eu-west-1.compute.internal"] {
                let result = try await scene.daemon.eicectl("proxy", target, "22", "--stdio")
                #expect(result.code == 0, "\(result)")
            }
            #expect(greeter.acceptedCount == 4)
        }
    }

    @Test func aTargetWithoutIPv4IsReachedByAllItsNames() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            let targets = [Scene.six, "six", "SIX.eice", Scene.sixAddress, "[2600:1f13:0:0::5]"]
            for target in targets {
                let result = try await scene.daemon.eicectl("proxy", target, "22", "--stdio")
                #expect(result.code == 0, "\(result)")
            }
            #expect(greeter.acceptedCount == targets.count)
            let unknown = try await scene.daemon.eicectl("proxy", "2600:1f13::6", "22", "--stdio")
            #expect(unknown.code == 68 && unknown.errors.contains("2600:1f13::6"), "\(unknown)")
        }
    }

    @Test func aReplacedInstanceIsFollowedByItsNameAtOnce() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            let first = try await scene.daemon.eicectl("proxy", "web", "22", "--stdio")
            #expect(first.code == 0, "\(first)")
            // Another instance bears the name now, at another address; the old one is gone.
            let inventory = Scene.inventory(port: greeter.port)
                .replacing(Scene.web, with: "i-0999999999999999f").replacing(Scene.webAddress, with: "10.0.1.99")
            try await scene.emulator.replace(inventory: inventory)
            let stale = try await scene.daemon.eicectl("proxy", "web", "22", "--stdio")
            #expect(stale.code == 68 && stale.errors.contains("Unable to connect to target"), "\(stale)")
            let followed = try await scene.daemon.eicectl("proxy", "web", "22", "--stdio")
            #expect(followed.code == 0, "\(followed)")
            #expect(greeter.acceptedCount == 2)
        }
    }

    @Test func aDeadTargetIsToldInTheServicesWordsWithItsName() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.dead, "22", "--stdio")
            #expect(result.code == 68, "\(result)")
            #expect(result.errors.contains("Unable to connect to target"), "\(result)")
            #expect(result.errors.contains(Scene.dead), "\(result)")

            // Through a forward the same stands in the log and in the status, and the listener lives.
            let forward = try await scene.add(Scene.dead, "--name", "dead")
            for _ in 0..<2 {
                let socket = try await Scene.connect(forward)
                let bytes = try await onThread { try socket.readToEndOrReset() }
                #expect(bytes.isEmpty, "\(String(decoding: bytes, as: UTF8.self))")
            }
            try await eventually("the status has it") {
                try await scene.daemon.status().recentFailures.contains {
                    $0.failure.sentence.contains("Unable to connect to target")
                }
            }
            let last = try #require(try await scene.daemon.forwards().first?.lastFailure?.failure)
            #expect(last.kind == .targetUnreachable)
            #expect(scene.daemon.log.contains("Unable to connect to target"))
        }
    }

    @Test func aPortThatTheServiceRefusesIsToldInItsWords() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "80", "--stdio")
            #expect(result.code == 68, "\(result)")
            #expect(result.errors.contains("22 or 3389"), "\(result)")
        }
    }
}
