import Glibc
import TestSupport
import Testing

/// The control socket or its folder is removed while the daemon runs.
@Suite struct ControlPlaceTests {
    private static func remove(_ path: String) async throws {
        let removed = try await ChildProcess.run("/bin/rm", ["-rf", path])
        #expect(removed.code == 0, "\(removed)")
    }

    private static func answers(_ daemon: EicedDaemon) async throws -> Bool {
        let listed = try await daemon.eicectl("ls")
        return listed.code == 0 && listed.output.contains("web ")
    }

    @Test(
        "the daemon listens again by itself, with its forwards",
        arguments: ["run/eiced/control.sock", "run/eiced/control.sock.lock", "run/eiced"]
    ) func listensAgain(_ removed: String) async throws {
        try await Scene.play(port: 9) { scene in
            try await scene.add(Scene.web, "--name", "web")
            for _ in 0..<3 {
                try await Self.remove(scene.daemon.directory(removed))
                try await eventually("the daemon can be reached") { try await Self.answers(scene.daemon) }
            }
            #expect(scene.daemon.process.exit == nil)
            // And it is the only one.
            let second = try await ChildProcess.run(BuiltProducts.eiced, [], environment: scene.daemon.environment)
            #expect(second.code == 75 && second.errors.contains("another eiced"), "\(second)")
        }
    }

    @Test("a runtime folder that comes back later is used again") func folderComesBack() async throws {
        try await Scene.play(port: 9) { scene in
            try await scene.add(Scene.web, "--name", "web")
            let run = scene.daemon.directory("run")
            #expect(rename(run, run + ".old") == 0)
            try await Self.remove(run + ".old")
            try await eventually("the loss is logged") { scene.daemon.log.contains("the control socket is gone") }
            try scene.daemon.directory.makeDirectory("run")
            try await eventually("the daemon can be reached") { try await Self.answers(scene.daemon) }
        }
    }

    @Test("a moved folder is noticed, and what took the place of the socket is left alone") func folderMoved()
        async throws
    {
        try await Scene.play(port: 9) { scene in
            try await scene.add(Scene.web, "--name", "web")
            let folder = scene.daemon.directory("run/eiced")
            #expect(rename(folder, folder + ".old") == 0)
            try await eventually("the daemon can be reached") { try await Self.answers(scene.daemon) }
            try await Self.remove(scene.daemon.socket)
            try scene.daemon.directory.makeDirectory("run/eiced/control.sock")
            try await eventually("it is told") { scene.daemon.log.contains("there is a file that is no socket") }
            #expect(rmdir(scene.daemon.socket) == 0)
            try await eventually("the daemon can be reached") { try await Self.answers(scene.daemon) }
        }
    }

    @Test("a second eiced wakes the first one instead of starting beside it") func secondDaemonWakesTheFirst()
        async throws
    {
        try await Scene.play(port: 9) { scene in
            try await scene.add(Scene.web, "--name", "web")
            // So that it can notice nothing by itself.
            scene.daemon.process.signal(SIGSTOP)
            try await Self.remove(scene.daemon.directory("run/eiced"))
            let second = try ChildProcess(BuiltProducts.eiced, [], environment: scene.daemon.environment)
            let third = try await ChildProcess.run(BuiltProducts.eiced, [], environment: scene.daemon.environment)
            #expect(third.code == 75, "\(third)")
            #expect(
                third.errors.contains("another eiced (pid \(scene.daemon.process.pid)) runs and cannot be reached"),
                "\(third)")
            #expect(try await second.exit() == .code(75), "\(second.standardError)")
            scene.daemon.process.signal(SIGCONT)
            try await eventually("the daemon can be reached") { try await Self.answers(scene.daemon) }
        }
    }

    @Test("--replace finds a daemon whose folder is gone") func replaceFindsIt() async throws {
        try await Scene.play(port: 9) { scene in
            try await scene.add(Scene.web, "--name", "web")
            scene.daemon.process.signal(SIGSTOP)
            try await Self.remove(scene.daemon.directory("run/eiced"))
            let second = try ChildProcess(
                BuiltProducts.eiced, ["--replace"], environment: scene.daemon.environment, diesWithParent: true)
            scene.daemon.process.signal(SIGCONT)
            #expect(try await scene.daemon.process.exit() == .code(0))
            try await eventually("the new one serves the forward") { try await Self.answers(scene.daemon) }
            // What it took over it finds again, too.
            try await Self.remove(scene.daemon.directory("run/eiced"))
            try await eventually("the new one can be reached") { try await Self.answers(scene.daemon) }
            let third = try await ChildProcess.run(BuiltProducts.eiced, [], environment: scene.daemon.environment)
            #expect(third.code == 75 && third.errors.contains("another eiced (pid \(second.pid))"), "\(third)")
        }
    }
}
