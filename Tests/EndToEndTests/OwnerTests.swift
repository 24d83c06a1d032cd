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
}
