import Glibc
import TestSupport
import Testing

/// The end of the daemon: nothing new, a drain, one line for each tunnel, exit 0.
@Suite struct ShutdownTests {
    @Test func anIdleDaemonEndsAtOnceWithZero() async throws {
        try await Scene.alone { daemon in
            daemon.process.signal(SIGTERM)
            let exit = try await daemon.process.exit()
            #expect(exit == .code(0), "\(daemon.log)")
            #expect(access(daemon.socket, F_OK) != 0)
        }
    }

    @Test func openTunnelsGoOnDuringTheDrainAndNothingNewIsAccepted() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port, timeouts: ["shutdown_drain": "60s"]) { scene in
            let forward = try await scene.add()
            let client = try await Scene.connect(forward)
            try await expectEcho(on: client)
            scene.daemon.process.signal(SIGTERM)
            let port = try forward.port
            try await eventually("the listener is closed") { (try? LoopbackSocket.connect(port: port)) == nil }
            try await expectEcho(on: client)
            #expect(scene.daemon.process.exit == nil)
            client.close()
            #expect(try await scene.daemon.process.exit() == .code(0), "\(scene.daemon.log)")
        }
    }

    @Test func theDrainHasAnEndAndEachTunnelALine() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port, timeouts: ["shutdown_drain": "1s"]) { scene in
            let forward = try await scene.add()
            let clients = [try await Scene.connect(forward), try await Scene.connect(forward)]
            for client in clients { try await expectEcho(on: client) }
            let ids = try await scene.daemon.tunnels().map(\.id)
            #expect(ids.count == 2)
            scene.daemon.process.signal(SIGTERM)
            #expect(try await scene.daemon.process.exit() == .code(0), "\(scene.daemon.log)")
            for id in ids {
                let lines = scene.daemon.log.split(separator: "\n").filter {
                    $0.contains(id) && $0.contains("closed")
                }
                #expect(lines.count == 1, "\(id): \(scene.daemon.log)")
            }
        }
    }

    @Test func aSecondSignalEndsAtOnce() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port, timeouts: ["shutdown_drain": "600s"]) { scene in
            let forward = try await scene.add()
            let client = try await Scene.connect(forward)
            try await expectEcho(on: client)
            scene.daemon.process.signal(SIGTERM)
            let port = try forward.port
            try await eventually("the drain has begun") { (try? LoopbackSocket.connect(port: port)) == nil }
            scene.daemon.process.signal(SIGTERM)
            #expect(try await scene.daemon.process.exit() == .code(0), "\(scene.daemon.log)")
        }
    }

    @Test func shutdownTakesADrainOfItsOwn() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port, timeouts: ["shutdown_drain": "600s"]) { scene in
            let client = try await Scene.connect(try await scene.add())
            try await expectEcho(on: client)
            let result = try await scene.daemon.eicectl("shutdown", "--drain", "1s")
            #expect(result.code == 0, "\(result)")
            #expect(try await scene.daemon.process.exit() == .code(0), "\(scene.daemon.log)")
        }
    }
}
