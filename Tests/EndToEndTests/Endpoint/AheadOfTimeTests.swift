import TestSupport
import Testing

/// What a connection needs is there before it comes.
@Suite struct AheadOfTimeTests {
    /// Without renewal the answers of the first connection are dead by then, and the last one would have to ask.
    @Test func whileATargetIsInUseItsLookUpIsRenewedBeforeItsTimeIsOver() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.onStage {
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: greeter.port))
            let relay = try FaultRelay(to: try emulator.port(in: "AWS_ENDPOINT_URL_EC2"))
            let daemon = try await EicedDaemon.start(
                environment: emulator.environment.merging(
                    ["AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:\(relay.port)"]) { $1 },
                configuration: Scene.table(of: [:], pool: "spares = 0\nlookup_ttl = \"4s\""))
            func proxy() async throws -> CommandResult {
                try await daemon.startEicectl(["proxy", Scene.web, "22", "--stdio"]).result(of: "proxy")
            }
            let first = try await proxy()
            #expect(first.code == 0, "\(first)")
            let asked = try await emulator.apiRequests()
            // The instance and its endpoints, twice: at three seconds and at six.
            try await eventually("all is looked up anew, two times") {
                try await emulator.apiRequests() >= asked + 4
            }
            relay.stop()
            let last = try await proxy()
            #expect(last.code == 0, "\(last)")
        }
    }
}
