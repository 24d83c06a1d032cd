import ControlProtocol
import TestSupport
import Testing

/// A VPC with two endpoints: one in the instance's subnet, one in another zone.
@Suite struct SeveralEndpointsTests {
    static let near = "eice-0aaaaaaaaaaaaaaa1"
    static let far = "eice-0bbbbbbbbbbbbbbb2"
    static let vpc = #""vpc": "vpc-0aaaaaaaaaaaaaaa1""#

    /// - Parameters:
    ///   - limit: the connections that the near endpoint takes.
    ///   - types: of the addresses that the near and the far endpoint reach.
    ///   - address: the instance's, IPv4 or IPv6.
    private func play(
        limit: Int = 20, types: (near: String, far: String) = ("ipv4", "ipv4"), address: String = "10.0.1.5",
        emulator options: [String] = [], timeouts: [String: String] = [:],
        _ body: (Scene) async throws -> Void
    ) async throws {
        let greeter = try LoopbackServer.greeter()
        let isIPv6 = address.contains(":")
        let inventory = """
            {"region": "eu-west-1",
             "endpoints": [
              {"id": "\(Self.near)", \(Self.vpc), "subnet": "subnet-0aaaaaaaaaaaaaaa1", "zone": "eu-west-1a",
               "maxConnections": \(limit), "ipAddressType": "\(types.near)"},
              {"id": "\(Self.far)", \(Self.vpc), "subnet": "subnet-0bbbbbbbbbbbbbbb2", "zone": "eu-west-1b",
               "ipAddressType": "\(types.far)"}],
             "instances": [
              {"id": "\(Scene.web)", "\(isIPv6 ? "ipv6" : "privateIp")": "\(address)", "zone": "eu-west-1a",
               \(Self.vpc), "subnet": "subnet-0aaaaaaaaaaaaaaa1"}],
             "targets": {"\(isIPv6 ? "[\(address)]" : address):22": "127.0.0.1:\(greeter.port)"}}
            """
        try await Scene.onStage {
            let emulator = try await Emulator.start(inventory: inventory, options: options)
            let daemon = try await EicedDaemon.start(
                environment: emulator.environment, configuration: Scene.table(of: timeouts))
            do {
                try await body(Scene(emulator: emulator, daemon: daemon))
            } catch {
                throw TestFailure("\(error)\n--- eiced\n\(daemon.log)\n--- emulator\n\(emulator.log)")
            }
        }
    }

    /// Opens a connection and tells through which endpoint it went.
    private func open(_ forward: ForwardInfo, in scene: Scene) async throws -> (
        socket: LoopbackSocket, endpoint: String
    ) {
        let socket = try await Scene.connect(forward)
        let greeting = try await onThread { try socket.readText() }
        guard greeting == "SSH-2.0-test\r\n" else {
            throw TestFailure("it was greeted with \(greeting.debugDescription)")
        }
        let newest = try await scene.daemon.tunnels().filter { $0.state == .open }.max {
            (Int($0.id.dropFirst()) ?? 0) < (Int($1.id.dropFirst()) ?? 0)
        }
        return (socket, newest?.endpoint ?? "none")
    }

    @Test func aFullOneIsPassedOverAndComesBackAndTheOtherZoneIsSaidOnce() async throws {
        try await play(limit: 2) { scene in
            let forward = try await scene.add()
            var sockets: [LoopbackSocket] = []
            for expected in [Self.near, Self.near, Self.far, Self.far] {
                let (socket, endpoint) = try await open(forward, in: scene)
                #expect(endpoint == expected)
                sockets.append(socket)
            }
            let words =
                "\(Self.far) stands in eu-west-1b and \(Scene.web) in eu-west-1a: traffic between zones is billed"
            #expect(scene.daemon.log.split(separator: "\n").count { $0.contains(words) } == 1, "\(scene.daemon.log)")
            let events = try await scene.daemon.eicectl("events", "zone.crossed")
            #expect(events.output.split(separator: "\n").count == 1 && events.output.contains(words), "\(events)")

            sockets[0].close()
            try await scene.daemon.waitForTunnels(open: 3)
            #expect(try await open(forward, in: scene).endpoint == Self.near)
        }
    }

    @Test func aFailingOneIsPassedOverUntilItRecovers() async throws {
        let fault = #"{"kind":"refuse","times":1,"status":503,"body":"overloaded","endpoint":"\#(Self.near)"}"#
        try await play(emulator: ["--fault", fault]) { scene in
            let forward = try await scene.add()
            // The first connection finds out, and does not suffer for it; the second one knows.
            for _ in 0..<2 { #expect(try await open(forward, in: scene).endpoint == Self.far) }
            #expect(try await scene.daemon.status().recentFailures.isEmpty)
            try await eventually("the near one is used again", within: .seconds(60)) {
                try await open(forward, in: scene).endpoint == Self.near
            }
        }
    }

    @Test func aPinnedOneIsNeverLeft() async throws {
        try await play(limit: 1, timeouts: ["queue": "1s"]) { scene in
            let forward = try await scene.add(Scene.web, "--endpoint", Self.near)
            let (first, endpoint) = try await open(forward, in: scene)
            #expect(endpoint == Self.near)
            let refused = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--endpoint", Self.near)
            #expect(refused.code == 75 && refused.errors.contains(Self.near), "\(refused)")
            let dropped = try await Scene.connect(forward)
            #expect(try await onThread { try dropped.readToEndOrReset() }.isEmpty)
            #expect(try await scene.daemon.status().endpoints.map(\.id) == [Self.near], "the other one was never asked")
            first.close()
            try await scene.daemon.waitForTunnels(open: 0)
            // A failing one is not left either.
            #expect(try await open(forward, in: scene).endpoint == Self.near)
        }
    }

    @Test(arguments: [
        ("ipv4", "dualstack", "2001:db8::5"), ("ipv4", "ipv6", "2001:db8::5"), ("ipv6", "ipv4", "10.0.1.5"),
    ]) func oneThatCannotReachTheTargetIsNotOfferedIt(near: String, far: String, address: String) async throws {
        try await play(types: (near, far), address: address) { scene in
            let forward = try await scene.add()
            #expect(try await open(forward, in: scene).endpoint == Self.far)
            #expect(try await scene.daemon.status().endpoints.map(\.id) == [Self.far], "the near one was never asked")
        }
    }

    @Test func whereNoneCanReachTheTargetThatIsSaid() async throws {
        try await play(address: "2001:db8::5") { scene in
            let added = try await scene.daemon.eicectl("add", Scene.web, "22")
            #expect(added.code == 68 && added.errors.contains("2001:db8::5"), "\(added)")
        }
    }
}
