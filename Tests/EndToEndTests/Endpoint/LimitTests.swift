import ControlProtocol
import TestSupport
import Testing

/// The endpoint's slots and the life of a tunnel.
@Suite struct LimitTests {
    @Test func theOneAboveTheCapWaitsUntilASlotIsFree() async throws {
        let echo = try LoopbackServer.echo()
        let configuration = "[endpoints.\"\(Scene.endpoint)\"]\nmax_connections = 2\n"
        try await Scene.play(port: echo.port, configuration: configuration) { scene in
            let forward = try await scene.add()
            let first = try await Scene.connect(forward)
            let second = try await Scene.connect(forward)
            try await scene.daemon.waitForTunnels(open: 2)

            let third = try await Scene.connect(forward)
            try await eventually("the third one waits") {
                try await scene.daemon.status().endpoints.first?.queued == 1
            }
            #expect(try await scene.daemon.tunnels().count { $0.state == .queued } == 1)
            let endpoint = try #require(try await scene.daemon.status().endpoints.first)
            #expect(endpoint.slots == EndpointInfo.Slots(inUse: 2, cap: 2, limit: 2, warm: 0))
            #expect(echo.acceptedCount == 2)

            first.close()
            let answer = try await onThread {
                try third.write("at last")
                return try third.readText()
            }
            #expect(answer == "at last")
            second.close()
        }
    }

    @Test func oneThatWaitsTooLongIsToldSo() async throws {
        let echo = try LoopbackServer.echo()
        let configuration = "[endpoints.\"\(Scene.endpoint)\"]\nmax_connections = 1\n"
        try await Scene.play(port: echo.port, timeouts: ["queue": "300ms"], configuration: configuration) { scene in
            let forward = try await scene.add()
            let holder = try await Scene.connect(forward)
            try await scene.daemon.waitForTunnels(open: 1)

            let refused = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(refused.code == 75, "\(refused)")
            #expect(refused.errors.contains(Scene.endpoint), "\(refused)")
            let dropped = try await Scene.connect(forward)
            #expect(try await onThread { try dropped.readToEndOrReset() }.isEmpty)
            #expect(try await !scene.daemon.status().recentFailures.isEmpty)

            // Who holds the slot does not notice.
            let answer = try await onThread {
                try holder.write("ping")
                return try holder.readText()
            }
            #expect(answer == "ping")
        }
    }

    @Test func aQueuedClientThatLeavesIsForgotten() async throws {
        let echo = try LoopbackServer.echo()
        let configuration = "[endpoints.\"\(Scene.endpoint)\"]\nmax_connections = 1\n"
        try await Scene.play(port: echo.port, configuration: configuration) { scene in
            let forward = try await scene.add()
            let holder = try await Scene.connect(forward)
            try await scene.daemon.waitForTunnels(open: 1)
            let waiting = try await Scene.connect(forward)
            try await eventually("it waits") { try await scene.daemon.tunnels().count == 2 }
            waiting.close()
            try await scene.daemon.waitForTunnels(open: 1)
            holder.close()
            try await scene.daemon.waitForTunnels(open: 0)
            #expect(echo.acceptedCount == 1, "what left while it waited was never dialed")
        }
    }

    @Test func aTunnelIsClosedAtItsMaximumDurationWithItsReason() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add(Scene.web, "--max-duration", "3s")
            #expect(forward.maxDuration == 3)
            let socket = try await Scene.connect(forward)
            let rest = try await onThread {
                try socket.write("ping")
                return try socket.readToEndOrReset()
            }
            #expect(rest == Array("ping".utf8), "whole, and then cut off")
            try await eventually("the log has the reason") { scene.daemon.log.contains("max duration reached (3s)") }
        }
    }

    @Test func theMaximumDurationIsEnforcedHereToo() async throws {
        let closes = Report<[UInt8]>()
        // An endpoint that would go on for ever.
        let rogue = try RogueEndpoint { peer in
            try peer.acceptUpgrade()
            try peer.send(.binary, Array("good".utf8))
            closes.add(try peer.waitForFrame(.close))
            try peer.end()
        }
        try await Scene.alone(environment: rogue.environment) { daemon in
            let proxy = try daemon.startEicectl(
                ["proxy", RogueEndpoint.address, "22", "--stdio", "--max-duration", "3s"] + RogueEndpoint.pinned,
                input: .pipe)
            try await proxy.exit()
            #expect(proxy.standardOutput == "good")
            try await eventually("the endpoint was told") { closes.all.first?.starts(with: [0x03, 0xE8]) == true }
            try await eventually("the log has the reason") { daemon.log.contains("max duration reached (3s)") }
        }
    }

    @Test func theMaximumDurationIsSentAndThePolicyOfTheEndpointDecides() async throws {
        let greeter = try LoopbackServer.greeter()
        let inventory = Scene.inventory(port: greeter.port).replacing(
            "{\"id\": \"\(Scene.endpoint)\",", with: "{\"id\": \"\(Scene.endpoint)\", \"policyMaxDuration\": 600,")
        try await Scene.onStage {
            let emulator = try await Emulator.start(inventory: inventory)
            let daemon = try await EicedDaemon.start(environment: emulator.environment)
            let long = try await daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(long.code == 77, "\(long)\n\(daemon.log)")
            let short = try await daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--max-duration", "10m")
            #expect(short.code == 0, "\(short)\n\(daemon.log)")
        }
    }

    @Test func aDurationOutOfRangeIsAUsageError() async throws {
        let environment = try EicedDaemon.environment(in: TemporaryDirectory())
        for text in ["0", "3601s", "2h", "-1s", "soon"] {
            let added = try await ChildProcess.run(
                BuiltProducts.eicectl, ["add", Scene.web, "22", "--max-duration=\(text)"], environment: environment)
            #expect(added.code == 64, "\(added)")
        }
    }

    @Test func anIdleTunnelIsClosedAfterItsTimeout() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add(Scene.web, "--idle-timeout", "2s")
            let socket = try await Scene.connect(forward)
            let rest = try await onThread {
                try socket.write("ping")
                return try socket.readToEndOrReset()
            }
            #expect(rest == Array("ping".utf8))
            try await eventually("the log has the reason") { scene.daemon.log.contains("idle") }
        }
    }
}
