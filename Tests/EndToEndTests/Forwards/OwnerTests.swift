import ControlProtocol
import Glibc
import TestSupport
import Testing

/// Who may use a forward, with the built programs and clients of two users.
@Suite(.enabled(if: Crowd.canBeAnotherUser, "only root can connect as another user"))
struct OwnerTests {
    @Test func anotherUserIsRefusedBeforeAnythingIsDialedAndTold() async throws {
        let greeter = try LoopbackServer.greeter("hello\r\n")
        try await Scene.play(port: greeter.port) { scene in
            let forward = try await scene.add(Scene.web, "--name", "mine")
            let port = try forward.port
            let strangers = try await Crowd.report(of: Crowd.start(300, to: port, as: Crowd.stranger))
            #expect(strangers.connected == 300 && strangers.served == 0)
            #expect(greeter.acceptedCount == 0, "something was dialed for a stranger")
            #expect(try await scene.daemon.tunnels().isEmpty)

            // The owner is served as ever, in the midst of them.
            let crowd = try Crowd.start(300, to: port, as: Crowd.stranger)
            let ours = try await Crowd.report(of: Crowd.start(20, to: port, as: getuid(), staying: true))
            #expect(ours.served == 20)
            #expect(try await Crowd.report(of: crowd).served == 0)
            #expect(greeter.acceptedCount == 20)

            let why = "it is of the user with uid \(Crowd.stranger)"
            let info = try #require(try await scene.daemon.forwards().first)
            #expect(info.lastFailure?.failure.why == why)
            #expect((info.refused ?? 0) >= strangers.waited)
            #expect(try await scene.daemon.status().recentFailures.first?.failure.kind == .accessDenied)
            let metrics = try await scene.daemon.eicectl("metrics").output
            #expect(metrics.contains("eiced_connections_refused_total{reason=\"other-user\"}"))
            let events = try await scene.daemon.eicectl("events", "connection.refused").output
            #expect(events.split(separator: "\n").count == 1 && events.contains("mine: \(why)"), "\(events)")
            let lines = scene.daemon.log.split(separator: "\n").filter { $0.contains(why) }
            #expect(lines.count == 1, "600 connections, and as many lines: \(lines.count)")
        }
    }

    @Test func allowUsersWidensItAndAReloadNarrowsItAgain() async throws {
        let greeter = try LoopbackServer.greeter("hello\r\n")
        let allowed = "[defaults]\nallow_users = [\"nobody\"]\n"
        try await Scene.play(port: greeter.port, configuration: allowed) { scene in
            let port = try await scene.add().port
            let welcome = try await Crowd.report(of: Crowd.start(4, to: port, as: Crowd.stranger, staying: true))
            #expect(welcome.served == 4)
            try scene.daemon.directory.write("config/eiced/config.toml", Scene.table(of: [:]))
            #expect(try await scene.daemon.eicectl("reload").code == 0)
            let again = try await Crowd.report(of: Crowd.start(4, to: port, as: Crowd.stranger, staying: true))
            #expect(again.served == 0)
        }
    }

    @Test func withAllowRemoteTheCheckHoldsForThisHostsOwn() async throws {
        let greeter = try LoopbackServer.greeter("hello\r\n")
        try await Scene.play(port: greeter.port) { scene in
            let port = try await scene.add(Scene.web, "--bind", "0.0.0.0", "--allow-remote").port
            let strangers = try await Crowd.report(of: Crowd.start(30, to: port, as: Crowd.stranger))
            #expect(strangers.served == 0)
            let ours = try await Crowd.report(of: Crowd.start(4, to: port, as: getuid(), staying: true))
            #expect(ours.served == 4)
        }
    }

    @Test(.enabled("no namespaces can be made here (unshare)") { try await PrivatePlace.canBeMade })
    func anotherHostPassesByTheListOfNetworksAndThisHostsUsersDoNot() async throws {
        func configuration(_ network: String) -> String {
            "\(Scene.table(of: [:]))[defaults]\nallow_networks = [\"\(network)\"]\n"
        }
        try await Scene.onStage {
            let here = try await PrivatePlace(.network, setUp: "ip link set lo up")
            let there = try await PrivatePlace(.network, setUp: "ip link set lo up")
            try await here.connect("192.0.2.1/30", to: there, "192.0.2.2/30")
            let target = try here.start("/usr/bin/nc", ["-d", "-l", "-k", "127.0.0.1", "2022"])
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: 2022), wrapper: here.wrapper)
            let daemon = try await EicedDaemon.start(
                environment: emulator.environment, configuration: configuration("192.0.2.0/30"), wrapper: here.wrapper)
            let forward = try await daemon.add([Scene.web, "22:2222", "--bind", "192.0.2.1", "--allow-remote"])
            #expect(forward.addresses == ["192.0.2.1:2222"])

            // Its addresses are on the list, and it is this host all the same.
            let stranger = try await here.run(
                "/usr/bin/setpriv",
                ["--reuid", "\(Crowd.stranger)", "--clear-groups", "/usr/bin/nc", "-d", "192.0.2.1", "2222"])
            #expect(stranger.output.isEmpty)
            let refusal = try #require(try await daemon.forwards().first?.lastFailure)
            #expect(refusal.failure.why == "it is of the user with uid \(Crowd.stranger)")
            let host = try there.start("/usr/bin/nc", ["-d", "192.0.2.1", "2222"])
            try await daemon.waitForTunnels(open: 1)
            host.kill()
            try await eventually("its tunnel has ended") { try await daemon.tunnels().isEmpty }

            try daemon.directory.write("config/eiced/config.toml", configuration("10.0.0.0/8"))
            #expect(try await daemon.eicectl("reload").code == 0)
            let outsider = try await there.run("/usr/bin/nc", ["-d", "192.0.2.1", "2222"])
            #expect(outsider.output.isEmpty)
            let last = try #require(try await daemon.forwards().first?.lastFailure)
            #expect(last.failure.why == "192.0.2.2 is in none of the networks that are allowed")
            #expect(try await daemon.tunnels().isEmpty)
            withExtendedLifetime(target) {}
        }
    }
}
