import CLinux
import ControlProtocol
import Glibc
import SocketIO
import TestSupport
import Testing

/// A new process takes the place of the old one, which goes on until its tunnels have ended.
@Suite(.enabled("no box for systemd can be made on this machine") { try await SystemdBox.canBeMade })
struct SystemdHandoverTests {
    @Test func tenTransfersGoOnAndNobodyIsRefused() async throws {
        let pattern = Pattern()
        let length = 24 << 20
        let source = try LoopbackServer.source(of: pattern, count: length)
        try await SystemdBox.play(port: source.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22", "--name", "web")
            let brief = try await box.add(Scene.web, "22", "--name", "brief", "--ephemeral")
            let old = try await box.mainProcess()
            let sockets = try await withThrowingTaskGroup(of: LoopbackSocket.self) { group in
                for number in 0..<10 { group.addTask { try await box.connect(number < 5 ? forward : brief) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            try await eventually("ten tunnels are open") {
                let tunnels = try await box.json(TunnelListResult.self, "tunnels").tunnels
                return tunnels.count == 10 && tunnels.allSatisfy { $0.state == .open }
            }
            let clients = Clients(of: [try forward.port], as: SystemdBox.aliceID)
            let result = try await box.json(ShutdownResult.self, "shutdown", "--handover")
            #expect(result.tunnels >= 10)

            let new = try #require(result.successor)
            #expect(new != old)
            try await eventually("the new process is the service's") { try await box.mainProcess() == new }
            let status = try await box.json(StatusResult.self, "status")
            #expect(status.pid == new)
            // An ephemeral forward too, at its address.
            #expect(
                Set(status.forwards.flatMap(\.addresses)) == Set(forward.addresses + brief.addresses),
                "\(status.forwards)")
            // Ten places of the endpoint are the old process's, and it is said.
            try await eventually("the old one's slots are counted") {
                let status = try await box.json(StatusResult.self, "status")
                return status.draining == [DrainingProcess(pid: old, slots: 10)]
                    && status.endpoints.first.map { $0.slots.inUse >= 10 } ?? false
            }
            #expect(try await box.run(.root, "kill", "-0", "\(old)").code == 0)

            let read = try await withThrowingTaskGroup(of: Int.self) { group in
                for socket in sockets { group.addTask { try await onThread { try pattern.verify(from: socket) } } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(read == [Int](repeating: length, count: 10))
            for socket in sockets { socket.close() }
            try await eventually("the old one ends") { try await box.run(.root, "kill", "-0", "\(old)").code != 0 }
            let (connected, refused) = try await clients.stop()
            #expect(refused.isEmpty && connected > 0, "\(refused)")
            try await eventually("its slots are free") {
                let status = try await box.json(StatusResult.self, "status")
                return status.draining == [] && status.endpoints.allSatisfy { $0.slots.inUse == 0 }
            }
            #expect(try await box.mainProcess() == new)
            #expect(try await box.property("NRestarts") == "0")
            #expect(try await box.property("ActiveState") == "active")
        }
    }

    /// As a package does it: another file takes the program's place while it runs. It differs in its release alone.
    @Test func aHandOverIsToTheReleaseThatIsInstalledNow() async throws {
        let echo = try LoopbackServer.echo()
        let release = EICEDVersion.current
        let other = String(release.map { $0.isNumber ? "9" : $0 })
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            let client = try await box.connect(forward)
            try await expectEcho(on: client)
            let install = #"""
                cd /usr
                for program in bin/eiced bin/eicectl libexec/eiced/eicectl-commands; do
                    perl -pe 's/\Q$ENV{OLD}\E/$ENV{NEW}/g' $program > $program.new
                    chmod 0755 $program.new
                    mv $program.new $program
                done
                """#
            let installed = try await box.run(.root, "env", "OLD=\(release)", "NEW=\(other)", "sh", "-ec", install)
            #expect(installed.code == 0, "\(installed)")

            let before = try await box.eicectl("status")
            let hint = "eiced \(release) is running, \(other) is installed: eicectl shutdown --handover\n"
            #expect(before.contains(hint), "\(before)")
            try await box.eicectl("shutdown", "--handover")
            let after = try await box.eicectl("status")
            #expect(after.hasPrefix("eiced \(other), pid") && !after.contains("is installed"), "\(after)")
            // Each serves its own: the old release its tunnel, the new one who comes now.
            try await expectEcho(on: client)
            let second = try await box.connect(forward)
            try await expectEcho(on: second)
            try await eventually("both slots are counted") {
                try await box.json(StatusResult.self, "status").endpoints.first?.slots.inUse == 2
            }
            client.close()
            try await eventually("the old one has ended") {
                try await box.json(StatusResult.self, "status").draining == []
            }
            try await expectEcho(on: second)
        }
    }

    @Test func aWatchdogStandsGuardOverTheNewProcess() async throws {
        try await SystemdBox.play(service: "WatchdogSec=3s") { box in
            try await box.start()
            let new = try #require(try await box.json(ShutdownResult.self, "shutdown", "--handover").successor)
            try await letPass(.seconds(5))
            #expect(try await box.mainProcess() == new)
            try await box.kill("STOP", new)
            try await eventually("another process is ready") {
                guard try await box.mainProcess() != new else { return false }
                return try await box.property("SubState") == "running"
            }
        }
    }

    @Test func whatIsKilledWhileTheOldOneDrainsIsStartedAgainAndStopsItInTheEnd() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port, timeouts: ["shutdown_drain": "1s"]) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            let client = try await box.connect(forward)
            try await expectEcho(on: client)
            let old = try await box.mainProcess()
            try await box.eicectl("shutdown", "--handover")
            try await eventually("another is the main process") { try await box.mainProcess() != old }
            try await box.crash()

            // The third process has the listeners, and knows of the first one's tunnel.
            let second = try await box.connect(forward)
            try await expectEcho(on: second)
            try await expectEcho(on: client)
            try await eventually("two slots are taken") {
                try await box.json(StatusResult.self, "status").endpoints.first?.slots.inUse == 2
            }
            second.close()

            try await box.systemctl("stop", "eiced.service")
            #expect(try await box.run(.root, "kill", "-0", "\(old)").code != 0)
            let rest = try await onThread { try client.readToEndOrReset() }
            #expect(rest.isEmpty)
        }
    }

    @Test func aSecondHandOverKnowsOfTheFirst() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            var clients: [LoopbackSocket] = []
            for count in 1...3 {
                let client = try await box.connect(forward)
                try await expectEcho(on: client)
                clients.append(client)
                try await box.eicectl("shutdown", "--handover")
                try await eventually("\(count) slots are taken by earlier processes") {
                    try await box.json(StatusResult.self, "status").endpoints.first?.slots.inUse == count
                }
            }
            for client in clients { try await expectEcho(on: client) }
            let last = try await box.connect(forward)
            try await expectEcho(on: last)
            #expect(try await box.json(StatusResult.self, "status").endpoints.first?.slots.inUse == 4)
            for client in clients { client.close() }
            try await eventually("one is left") {
                try await box.json(StatusResult.self, "status").endpoints.first?.slots.inUse == 1
            }
        }
    }

    @Test func aNewProcessThatCannotLeavesTheOldOneInCharge() async throws {
        let echo = try LoopbackServer.echo()
        try await SystemdBox.play(port: echo.port) { box in
            try await box.start()
            let forward = try await box.add(Scene.web, "22")
            let old = try await box.mainProcess()
            try await box.write("[forwards.x]\ntarget = 5\n", to: "/home/alice/.config/eiced/config.toml")
            let result = try await box.run(.alice, "eicectl", "shutdown", "--handover")
            #expect(result.code == 75, "\(result)")
            #expect(result.errors.contains("did not take over") && result.errors.contains("config.toml:2"), "\(result)")
            #expect(try await box.mainProcess() == old)
            try await expectEcho(on: try await box.connect(forward))
            // Nothing is locked up: forwards can be changed as before.
            try await box.add(Scene.web, "22", "--name", "another")

            // Nor can a program from outside take a service's place.
            let replaced = try await box.run(
                .alice, "env", "EICED_SOCKET=/run/user/5801/eiced/control.sock", "eiced", "--replace")
            #expect(replaced.code != 0 && replaced.errors.contains("config.toml:2"), "\(replaced)")
            try await box.write("", to: "/home/alice/.config/eiced/config.toml")
            let refused = try await box.run(.alice, "eiced", "--replace")
            #expect(refused.code == 75 && refused.errors.contains("runs as a service"), "\(refused)")
            #expect(try await box.mainProcess() == old)
        }
    }
}

/// The same without a service manager: `eiced --replace`.
@Suite struct ReplaceTests {
    @Test func aNewDaemonTakesOverAndTheOldOneEndsWithItsLastTunnel() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add(Scene.web, "--name", "web")
            let path = scene.daemon.directory("web.sock")
            _ = try await scene.daemon.add([Scene.web, "22:\(path)", "--name", "brief", "--ephemeral"])
            let client = try await Scene.connect(forward)
            try await expectEcho(on: client)

            let new = try ChildProcess(
                BuiltProducts.eiced, ["--replace"], environment: scene.daemon.environment, diesWithParent: true)
            try await eventually("the new one answers") {
                if let exit = new.exit { throw TestFailure("\(exit): \(new.standardError)") }
                return (try? await scene.daemon.status().pid) == Int(new.pid)
            }
            #expect(scene.daemon.process.exit == nil)
            try await expectEcho(on: client)
            try await expectEcho(on: try await Scene.connect(forward))
            try await expectEcho(on: try await onThread { try LoopbackSocket.connect(path: path) })
            #expect(try await scene.daemon.forwards().map(\.name) == ["brief", "web"])
            client.close()
            #expect(try await scene.daemon.process.exit() == .code(0), "\(scene.daemon.log)")
            // The old one's end takes neither the socket's file nor the claim to it.
            #expect(try await scene.daemon.status().pid == Int(new.pid))
            _ = try await scene.daemon.add([Scene.web, "22", "--name", "later"])
            let another = try await ChildProcess.run(BuiltProducts.eiced, environment: scene.daemon.environment)
            #expect(another.code == 75 && another.errors.contains("(pid \(new.pid))"), "\(another)")

            new.signal(SIGTERM)
            #expect(try await new.exit() == .code(0), "\(new.standardError)")
            #expect(access(path, F_OK) != 0 && access(scene.daemon.socket, F_OK) != 0)
        }
    }

    /// The old process ended before it let go: it may have named the new one as the service's, which must then be restarted, and
    /// is not after 75.
    @Test(arguments: [(true, 70), (false, 75)] as [(Bool, Int32)])
    func aNewProcessWhosePredecessorIsGoneEnds(isService: Bool, code: Int32) async throws {
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            var environment = try EicedDaemon.environment(in: directory)
            environment["EICED_HANDOVER"] = "0"
            if isService { environment["NOTIFY_SOCKET"] = directory("nobody") }
            var ends: [CInt] = [-1, -1]
            #expect(socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
            let (here, there) = (FileDescriptor(takingOwnership: ends[0]), FileDescriptor(takingOwnership: ends[1]))
            let new = try ChildProcess(
                BuiltProducts.eiced, environment: environment, input: .descriptor(there), diesWithParent: true)
            there.close()
            let complete = #"{"kind":"complete"}"#
            #expect(send(here.raw, complete, complete.utf8.count, 0) == complete.utf8.count)
            try await eventually("it is ready") {
                var buffer = [UInt8](repeating: 0, count: 4_096)
                let count = recv(here.raw, &buffer, buffer.count, CInt(MSG_DONTWAIT))
                return count > 0 && String(decoding: buffer.prefix(count), as: UTF8.self).contains("ready")
            }
            here.close()
            #expect(try await new.exit() == .code(code), "\(new.standardError)")
        }
    }

    @Test func withoutADaemonItIsOne() async throws {
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(arguments: ["--replace"])
            #expect(try await daemon.status().pid == Int(daemon.process.pid))
        }
    }

    @Test func withoutAServiceManagerAHandOverStartsTheInstalledProgram() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add()
            let result = try await scene.daemon.json(ShutdownResult.self, ["shutdown", "--handover"])
            let new = try #require(result.successor)
            #expect(try await scene.daemon.process.exit() == .code(0), "\(scene.daemon.log)")
            #expect(try await scene.daemon.status().pid == new)
            try await expectEcho(on: try await Scene.connect(forward))
            _ = try await scene.daemon.eicectl("shutdown", "--drain", "0s")
            try await eventually("it ends") { kill(pid_t(new), 0) != 0 }
        }
    }
}
