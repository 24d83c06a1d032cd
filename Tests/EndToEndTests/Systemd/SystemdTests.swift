import ControlProtocol
import Glibc
import TestSupport
import Testing

/// The units as a user manager has them: what starts the daemon, and what it tells.
@Suite(.enabled("no box for systemd can be made on this machine") { try await SystemdBox.canBeMade })
struct SystemdTests {
    @Test func theFirstCallStartsTheDaemon() async throws {
        try await SystemdBox.play { box in
            try await box.systemctl("enable", "--now", "eiced.socket")
            #expect(try await box.property("ActiveState") == "inactive")
            let status = try await box.json(StatusResult.self, "status")
            #expect(try await box.property("ActiveState") == "active")
            #expect(status.pid == (try await box.mainProcess()))
        }
    }

    /// Whoever waits for a daemon that cannot start hears why, and does not have it started again and again.
    @Test(arguments: ["configuration", "trust roots", "command line"])
    func aStartThatFailsTellsWhoeverAsks(for what: String) async throws {
        let mistakes: (service: String, configuration: String, code: Int32, said: [String]) =
            switch what {
            case "configuration":
                (
                    "", "[log]\nlevel = \"loud\"\nlevl = 3\n", 78,
                    ["log.level: expected one of", "log.levl: there is no such key"]
                )
            case "trust roots": ("Environment=AWS_CA_BUNDLE=/nowhere.pem", "", 78, ["/nowhere.pem"])
            default: ("ExecStart=\nExecStart=/usr/bin/eiced --chek", "", 64, ["Unknown option '--chek'"])
            }
        try await SystemdBox.play(service: mistakes.service) { box in
            try await box.write(mistakes.configuration, to: "/home/alice/.config/eiced/config.toml")
            try await box.systemctl("enable", "--now", "eiced.socket")
            for _ in 1...2 {
                let status = try await box.run(.alice, "eicectl", "status")
                #expect(status.code == mistakes.code, "\(status)")
                for text in ["eiced cannot start"] + mistakes.said {
                    #expect(status.errors.contains(text), "\(status)")
                }
            }
            let starts = try await box.alice("journalctl", "--user", "-b", "--no-pager", "-o", "cat")
            // The last end may not be in the journal yet.
            #expect((1...2).contains(starts.ranges(of: "Failed with result").count), "\(starts)")
            #expect(try await box.systemctl("is-active", "eiced.socket") == "active\n")
            guard what == "configuration" else { return }
            try await eventually("the journal has each mistake as an error") {
                let errors = try await box.journal("PRIORITY=3").compactMap { $0["MESSAGE"] }
                return mistakes.said.allSatisfy { text in errors.contains { $0.contains(text) } }
            }

            // With the mistakes gone the next call is served.
            try await box.write("", to: "/home/alice/.config/eiced/config.toml")
            _ = try await box.json(StatusResult.self, "status")
        }
    }

    @Test func addSaysWhereTheServiceIsNotEnabled() async throws {
        try await SystemdBox.play { box in
            try await box.systemctl("start", "eiced.socket")
            let added = try await box.run(.alice, "eicectl", "add", Scene.web, "22", "--name", "web")
            #expect(added.code == 0 && added.errors.contains("systemctl --user enable"), "\(added)")
            try await box.systemctl("enable", "eiced.socket", "eiced.service")
            let quiet = try await box.run(.alice, "eicectl", "add", Scene.web, "22", "--name", "other")
            #expect(quiet.code == 0 && quiet.errors.isEmpty, "\(quiet)")
        }
    }

    @Test func anotherUserIsRefusedAtTheSocket() async throws {
        try await SystemdBox.play { box in
            try await box.systemctl("enable", "--now", "eiced.socket", "eiced.service")
            let folder = "/run/user/\(SystemdBox.aliceID)"
            let socket = "\(folder)/eiced/control.sock"
            let closed = try await box.run(.mallory, "env", "EICED_SOCKET=\(socket)", "eicectl", "status")
            #expect(closed.code == 69 || closed.code == 77, "\(closed)")
            // Even where every door stands open, and for root, to whom all doors are open: the kernel tells who it is.
            try await box.run(.root, "chmod", "o+rwx", folder, "\(folder)/eiced", socket)
            for user in [SystemdBox.User.mallory, .root] {
                let refused = try await box.run(user, "env", "EICED_SOCKET=\(socket)", "eicectl", "status")
                #expect(refused.code == 69 || refused.code == 77, "\(refused)")
                #expect(refused.output.isEmpty)
            }
            // The client is told before the journal is.
            try await eventually("the journal has both; inside of the sandbox every other user is \"nobody\"") {
                try await box.journal("PRIORITY=4").count { $0["EICED_UID"] == "65534" } == 2
            }
        }
    }
}

/// What the daemon tells its service manager.
@Suite(.enabled("no box for systemd can be made on this machine") { try await SystemdBox.canBeMade })
struct SystemdNotifyTests {
    @Test func theStatusLineCountsForwardsAndTunnels() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            #expect(try await box.property("StatusText") == "0 forwards, 0 tunnels")
            let forward = try await box.add(Scene.web, "22")
            let client = try await box.connect(forward)
            try await expectEcho(on: client)
            try await eventually("the line tells of the tunnel") {
                try await box.property("StatusText") == "1 forward, 1 tunnel, 1 of 20 slots"
            }
            client.close()
            try await eventually("the line tells of its end") {
                try await box.property("StatusText") == "1 forward, 0 tunnels, 0 of 20 slots"
            }
        }
    }

    @Test func aReloadOfABrokenFileChangesNothingAndSaysWhy() async throws {
        try await SystemdBox.play(configuration: "[forwards.web]\ntarget = \"\(Scene.web)\"\nremote_port = 22\n") {
            box in
            try await box.start()
            let main = try await box.mainProcess()
            try await box.write("[forwards.web]\ntarget = 5\n", to: "/home/alice/.config/eiced/config.toml")
            let reload = try await box.run(.alice, "systemctl", "--user", "reload", "eiced.service")
            #expect(reload.code != 0, "\(reload)")
            #expect(try await box.property("ActiveState") == "active")
            #expect(try await box.mainProcess() == main)
            #expect(try await box.json(ForwardListResult.self, "ls").forwards.map(\.name) == ["web"])
            let said = try await box.run(.alice, "journalctl", "--user", "-b", "-o", "cat", "--no-pager")
            #expect(said.output.contains("config.toml:2"), "\(said)")

            try await box.write("", to: "/home/alice/.config/eiced/config.toml")
            try await box.systemctl("reload", "eiced.service")
            #expect(try await box.json(ForwardListResult.self, "ls").forwards.isEmpty)
            #expect(try await box.property("StatusText") == "0 forwards, 0 tunnels")
        }
    }

    @Test func aStopDrainsForAsLongAsItTakesAndClosesTheListeners() async throws {
        let echo = try LoopbackServer.echo()
        // Half the time that the unit would give without being asked.
        try await SystemdBox.play(
            port: echo.port, configuration: "", timeouts: ["shutdown_drain": "600s"], service: "TimeoutStopSec=2s"
        ) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            let client = try await box.connect(forward)
            try await expectEcho(on: client)
            try await box.systemctl("stop", "--no-block", "eiced.service")
            try await eventually("the drain is told") {
                try await box.property("StatusText").hasPrefix("stopping: the one open tunnel has")
            }
            try await eventually("nobody listens") { (try? await box.connect(forward)) == nil }
            let began = ContinuousClock.now
            try await eventually("more than the unit's own time has passed") {
                began.duration(to: .now) > .seconds(4)
            }
            try await expectEcho(on: client)
            client.close()
            try await eventually("the service has stopped") { try await box.property("ActiveState") == "inactive" }
            #expect(try await box.property("Result") == "success")
        }
    }

    @Test func aDaemonThatHangsIsReplacedInTime() async throws {
        try await SystemdBox.play(service: "WatchdogSec=2s") { box in
            try await box.start()
            let main = try await box.mainProcess()
            let stopped = monotonicMicroseconds()
            try await box.kill("STOP", main)
            try await eventually("another process is ready") {
                let present = try await box.mainProcess()
                guard present != main, present != 0 else { return false }
                return try await box.property("SubState") == "running"
            }
            let ready = try #require(Int(try await box.property("ActiveEnterTimestampMonotonic")))
            // The interval, then a start. Without the watchdog's signal systemd would wait for a minute and a half.
            #expect(ready - stopped < 2_000_000 + 2_000_000 * Patience.factor, "after \(ready - stopped) µs")
            #expect(try await box.property("NRestarts") == "1")
            _ = try await box.json(StatusResult.self, "status")
        }
    }

    @Test func aDaemonThatAnswersIsNotReplaced() async throws {
        try await SystemdBox.play(service: "WatchdogSec=3s") { box in
            try await box.start()
            let main = try await box.mainProcess()
            try await letPass(.seconds(7))
            #expect(try await box.mainProcess() == main)
        }
    }

    private func monotonicMicroseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int(now.tv_sec) * 1_000_000 + Int(now.tv_nsec) / 1_000
    }
}
