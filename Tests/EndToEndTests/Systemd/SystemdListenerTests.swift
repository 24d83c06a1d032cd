import ControlProtocol
import Glibc
import SocketIO
import Synchronization
import TestSupport
import Testing

/// Listeners outlive the process: no client is refused while the daemon is replaced.
@Suite(.enabled("no box for systemd can be made on this machine") { try await SystemdBox.canBeMade })
struct SystemdListenerTests {
    @Test func listenersAreKeptByNameForAsLongAsTheirForwardLasts() async throws {
        try await SystemdBox.play { box in
            try await box.start()
            // The record of starts, and nothing else: the control socket is the socket unit's.
            #expect(try await box.property("NFileDescriptorStore") == "1")
            try await box.add(Scene.web, "22", "--name", "web")
            try await box.waitForStored(3)
            try await box.add(Scene.web, "22", "--name", "brief", "--ephemeral")
            try await box.add(Scene.web, "22:/run/user/5801/eiced/web.sock", "--name", "unix")
            try await box.waitForStored(4)
            try await box.eicectl("set", "web", "--name", "site")
            try await box.eicectl("rm", "unix", "brief")
            try await box.waitForStored(3)

            let before = try await box.forward("site")
            try await box.crash()
            let after = try await box.forward("site")
            #expect(after.addresses == before.addresses)
            #expect(after.state == before.state)
            try await box.waitForStored(3)

            try await box.systemctl("stop", "eiced.service")
            #expect((try? await box.connect(before)) == nil)
        }
    }

    /// As many as there may be, with names as long as they may be: all are kept, and the next one is refused.
    @Test func fiveHundredForwardsOutliveACrashAndAHandOver() async throws {
        let names = (0..<500).map { "\(String(repeating: "n", count: 60))-\(100 + $0)" }
        let tables = names.map { "[forwards.\($0)]\ntarget = \"\(Scene.web)\"\nremote_port = 22\n" }
        try await SystemdBox.play(configuration: tables.joined()) { box in
            try await box.start()
            // Two for each, and the record of starts.
            try await box.waitForStored(1_001)
            #expect(try await box.property("StatusText") == "500 forwards, 0 tunnels")
            let more = try await box.run(.alice, "eicectl", "add", Scene.web, "22")
            #expect(more.code == 73 && more.errors.contains("500 of at most 500"), "\(more)")

            let before = try await box.addresses()
            #expect(Set(before.keys) == Set(names) && before.values.allSatisfy { $0.count == 2 })
            try await box.crash()
            #expect(try await box.addresses() == before)
            try await box.eicectl("shutdown", "--handover")
            #expect(try await box.addresses() == before)
            try await box.waitForStored(1_001)
            try await box.systemctl("restart", "eiced.service")
            #expect(try await box.addresses() == before)
        }
    }

    @Test func whatNoForwardClaimsIsClosedAndRemoved() async throws {
        let text = "[forwards.web]\ntarget = \"\(Scene.web)\"\nremote_port = 22\n"
        try await SystemdBox.play(configuration: text) { box in
            try await box.start()
            let forward = try await box.forward("web")
            try await box.waitForStored(3)
            // The same port, although the configuration leaves it open.
            try await box.crash()
            #expect(try await box.forward("web").addresses == forward.addresses)
            try await box.write("", to: "/home/alice/.config/eiced/config.toml")
            try await box.crash()
            try await box.waitForStored(1)
            #expect((try? await box.connect(forward)) == nil)
        }
    }

    @Test func aUnixSocketIsKeptAndItsFileIsRemovedInTheEnd() async throws {
        try await SystemdBox.play { box in
            try await box.start()
            try await box.add(Scene.web, "22:/run/user/5801/eiced/web.sock", "--name", "web")
            let file = try await box.alice("stat", "-c", "%i", "/run/user/5801/eiced/web.sock")
            try await box.crash()
            #expect(try await box.alice("stat", "-c", "%i", "/run/user/5801/eiced/web.sock") == file)
            try await box.systemctl("stop", "eiced.service")
            #expect(try await box.run(.alice, "test", "-e", "/run/user/5801/eiced/web.sock").code == 1)
        }
    }

    @Test func aSocketUnitListensForAForwardOfTheConfiguration() async throws {
        let echo = try LoopbackServer.echo()
        let port = try freePort()
        let unit = """
            [Socket]
            ListenStream=127.0.0.1:\(port)
            FileDescriptorName=web
            Service=eiced.service
            """
        try await SystemdBox.play(
            port: echo.port, configuration: "[forwards.web]\ntarget = \"\(Scene.web)\"\nremote_port = 22\n",
            files: ["/etc/systemd/user/web.socket": unit]
        ) { box in
            try await box.systemctl("start", "eiced.socket", "web.socket")
            #expect(try await box.property("ActiveState") == "inactive")
            // A connection starts the daemon, and is served by it.
            let client = try await onThread { try LoopbackSocket.connect(port: port, owner: SystemdBox.aliceID) }
            try await expectEcho(on: client)
            let forward = try await box.forward("web")
            #expect(forward.addresses == ["127.0.0.1:\(port)"])
            // It is not stored as well, and a stop of the daemon does not end it.
            #expect(try await box.property("NFileDescriptorStore") == "1")
            client.close()
            try await box.systemctl("stop", "eiced.service")
            let second = try await box.connect(forward)
            try await expectEcho(on: second)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func nobodyIsRefusedWhileTheDaemonIsKilledAHundredTimes() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            try await box.waitForStored(3)
            // Soon nobody is served any more, since it crashes too often; on a slow machine more would come than can wait.
            let clients = Clients(of: [try forward.port], as: SystemdBox.aliceID) {
                $0 < 3_800 ? .milliseconds(10) : .seconds(2)
            }
            let kills = #"""
                old=0
                for number in $(seq 100); do
                    main=$old
                    while [ "$main" = "$old" ] || [ "$main" = 0 ]; do
                        state=$(systemctl --user show -p MainPID -p SubState eiced.service) || exit 1
                        case $state in *SubState=running*) ;; *) continue ;; esac
                        main=${state#MainPID=}
                        main=${main%%[!0-9]*}
                    done
                    kill -KILL "$main" || exit 2
                    old=$main
                done
                """#
            let killed = try await box.run(.alice, ["bash", "-c", kills], within: .seconds(240))
            #expect(killed.code == 0, "\(killed)")
            // The manager may not have heard of the last end yet: it still says that it runs.
            try await eventually("the last one runs") {
                guard try await box.property("NRestarts") == "100" else { return false }
                return try await box.property("SubState") == "running"
            }
            let (connected, refused) = try await clients.stop()
            #expect(refused.isEmpty, "\(refused.count) of \(connected + refused.count): \(refused.prefix(3))")
            #expect(connected > 100)

            // By now it holds its listeners, and says so.
            #expect(try await box.property("StatusText").contains("connections wait"))
            // A restart that somebody asks for is no crash: the next one serves at once.
            try await box.systemctl("restart", "eiced.service")
            try await expectEcho(on: try await box.connect(forward))
        }
    }

    @Test func afterSeveralCrashesConnectionsWaitAndAreServedInTheEnd() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            try await box.waitForStored(3)
            for _ in 1...8 { try await box.crash() }
            #expect(try await box.property("StatusText").contains("connections wait"))
            let warnings = try #require(try await box.json(StatusResult.self, "status").warnings)
            #expect(warnings.contains { $0.failure.what.contains("connections wait") }, "\(warnings)")
            try await expectEcho(on: try await box.connect(forward))
            #expect(try await box.json(StatusResult.self, "status").warnings?.isEmpty ?? true)
        }
    }

    @Test func aRestartDrainsAndRefusesNobody() async throws {
        let pattern = Pattern()
        let length = 8 << 20
        let source = try LoopbackServer.source(of: pattern, count: length)
        try await SystemdBox.play(port: source.port, timeouts: ["restart_drain": "3s"]) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            // Nine that read at once, and one that never does.
            let sockets = try await withThrowingTaskGroup(of: LoopbackSocket.self) { group in
                for _ in 0..<10 { group.addTask { try await box.connect(forward) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            try await eventually("ten tunnels are open") {
                let tunnels = try await box.json(TunnelListResult.self, "tunnels").tunnels
                return tunnels.count == 10 && tunnels.allSatisfy { $0.state == .open }
            }
            let clients = Clients(of: [try forward.port], as: SystemdBox.aliceID)
            async let restart = box.systemctl("restart", "eiced.service")
            let read = try await withThrowingTaskGroup(of: Int.self) { group in
                for socket in sockets.dropFirst() {
                    group.addTask { try await onThread { try pattern.verify(from: socket) } }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(read == [Int](repeating: length, count: 9))
            _ = try await restart
            try await eventually("the end of the one is in the journal") {
                try await box.journal("EICED_REASON=restart").count == 1
            }
            let (connected, refused) = try await clients.stop()
            #expect(refused.isEmpty && connected > 0, "\(refused)")
            let fresh = try await box.connect(forward)
            #expect(try await onThread { try pattern.verify(1 << 20, from: fresh) } == 1 << 20)
        }
    }
}

extension SystemdBox {
    fileprivate func forward(_ name: String) async throws -> ForwardInfo {
        guard let found = try await json(ForwardListResult.self, "ls").forwards.first(where: { $0.name == name }) else {
            throw TestFailure("there is no forward \(name)")
        }
        return found
    }

    /// Where each forward listens.
    fileprivate func addresses() async throws -> [String: [String]] {
        let forwards = try await json(ForwardListResult.self, "ls").forwards
        return Dictionary(uniqueKeysWithValues: forwards.map { ($0.name, $0.addresses) })
    }

    /// Waits until the user manager keeps so many descriptors: it is told, and does not answer.
    func waitForStored(_ count: Int) async throws {
        try await eventually("\(count) descriptors are kept") {
            try await property("NFileDescriptorStore") == String(count)
        }
    }

    /// Kills the daemon and waits for the next one.
    func crash() async throws {
        let main = try await mainProcess()
        try await kill("KILL", main)
        try await eventually("another process is ready") {
            guard try await mainProcess() != main else { return false }
            return try await property("SubState") == "running"
        }
    }
}
