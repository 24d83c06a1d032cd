import ControlProtocol
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// What a machine can run out of: descriptors, disk, memory. One at a time, since each looks at the processor or at memory.
@Suite(.serialized) struct ScarcityTests {
    // MARK: Descriptors

    /// The daemon's descriptors of its own, what it keeps free, and some tunnels.
    private static let descriptors = 96

    @Test func whoComesWhileDescriptorsAreOutWaitsAndIsServedWithinASecondOfTheirReturn() async throws {
        let echo = try LoopbackServer.echo()
        let limit = ["/usr/bin/prlimit", "--nofile=\(Self.descriptors):\(Self.descriptors)", "--"]
        let configuration = "[endpoints.\"\(Scene.endpoint)\"]\nmax_connections = 100\n"
        try await Scene.play(
            port: echo.port, emulator: ["--max-connections", "100"], configuration: configuration, wrapper: limit
        ) { scene in
            let port = try await scene.add().port
            let facts = scene.daemon.process.facts
            let clients = try await onThread {
                try (0..<Self.descriptors).map { number in
                    let socket = try LoopbackSocket.connect(port: port)
                    try socket.write("\(number)")
                    return socket
                }
            }
            try await eventually("the listener says why it waits") {
                scene.daemon.log.contains("cannot accept a connection: too many open files")
            }
            var tunnels = try await scene.daemon.tunnels()
            try await eventually("whoever was accepted is served") {
                tunnels = try await scene.daemon.tunnels()
                return tunnels.allSatisfy { $0.state == .open }
            }
            // Control sessions still have room, and nobody was turned away.
            #expect(tunnels.count > 10 && tunnels.count < clients.count)
            #expect(try await scene.daemon.status().recentFailures.isEmpty)

            let used = try #require(facts.processorTime)
            try await letPass(.seconds(2))
            let spent = try #require(facts.processorTime) - used
            #expect(
                spent < .milliseconds(200) * Patience.factor,
                "no descriptors cost \(spent) of processor time in two seconds")

            // With the last dial over there may have been room for one more.
            var answered: [LoopbackSocket] = []
            try await eventually("whoever has a tunnel is answered") {
                answered = clients.filter { $0.waitForInput(milliseconds: 0) }
                return try await scene.daemon.tunnels().count == answered.count
            }
            let waiting = clients.filter { !$0.waitForInput(milliseconds: 0) }
            for client in answered { client.close() }
            let began = ContinuousClock.now
            let first = try #require(waiting.first)
            #expect(try await onThread { try first.readText() } == "\(answered.count)")
            let waited = began.duration(to: .now)
            #expect(waited < .seconds(1) * Patience.factor, "served again after \(waited)")
            // And all others: as some leave, others come.
            for client in waiting {
                let answer: String
                do {
                    answer = try await onThread {
                        let answer = client === first ? "" : try client.readText()
                        client.close()
                        return answer
                    }
                } catch {
                    Issue.record("\(error): \(try await scene.daemon.status().recentFailures)")
                    return
                }
                #expect(client === first || !answer.isEmpty)
            }
            #expect(try await scene.daemon.status().recentFailures.isEmpty)
            tell(figure: "descriptors_recovered_ms", Int(waited / .milliseconds(1)))
        }
    }

    /// The daemon was ended by Dispatch, which on Linux counts its busy threads each second by `/proc/self/task/TID/stat` and
    /// executes an invalid instruction if it cannot open that (`_dispatch_workq_monitor_pools`). Only a limit that somebody
    /// lowers below what the daemon has open leads there, since it keeps a reserve. Swift's own traps say why on stderr.
    private static let endedByDispatch = "Dispatch ended the daemon"

    /// Not even the reserve is left: nobody can be accepted at all, and nobody is turned away.
    @Test func withoutASingleDescriptorNothingSpinsAndNothingIsLost() async throws {
        do {
            try await playWithoutDescriptors()
        } catch let error as TestFailure where error.description.hasPrefix(Self.endedByDispatch) {
            // What the service manager does then is tested by `kill -9`.
        }
    }

    private func playWithoutDescriptors() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add()
            let open = try await Scene.connect(forward)
            try await expectEcho(on: open)
            let process = scene.daemon.process
            @Sendable func allow(_ count: Int) async throws {
                let result = try await ChildProcess.run(
                    "/usr/bin/prlimit", ["--pid", "\(process.pid)", "--nofile=\(count):"])
                guard result.code == 0 else { throw TestFailure("\(result)") }
            }
            try await allow(3)
            let client = try await Scene.connect(forward)
            let status = try scene.daemon.startEicectl(["status"])
            try await eventually("both listeners say why they wait") {
                let log = scene.daemon.log
                return process.exit != nil
                    || log.contains("cannot accept a connection: too")
                        && log.contains("cannot accept a control session")
            }
            let used = process.facts.processorTime
            try await letPass(.seconds(2))
            if process.exit == .signal(SIGILL), !scene.daemon.log.contains("Fatal error") {
                throw TestFailure(Self.endedByDispatch)
            }
            let spent = try #require(process.facts.processorTime) - #require(used)
            #expect(
                spent < .milliseconds(200) * Patience.factor,
                "no descriptors cost \(spent) of processor time in two seconds")
            try await expectEcho(on: open)

            try await allow(1_024)
            let began = ContinuousClock.now
            try await expectEcho(on: client)
            let waited = began.duration(to: .now)
            #expect(waited < .seconds(1) * Patience.factor, "served again after \(waited)")
            #expect(try await status.exit() == .code(0), "\(status.standardError)")
        }
    }

    // MARK: Disk

    /// A disk of its own, and a scene whose daemon keeps its state there.
    private func playOnOwnDisk(
        _ body: @escaping @Sendable (_ scene: Scene, _ place: PrivatePlace, _ disk: String) async throws -> Void
    ) async throws {
        let echo = try LoopbackServer.echo()
        let directory = try TemporaryDirectory()
        let disk = try directory.makeDirectory("disk")
        let place = try await PrivatePlace(.mounts, setUp: "mount -t tmpfs -o size=128k,mode=700 none \(disk)")
        try await Scene.play(port: echo.port, environment: ["XDG_STATE_HOME": disk], wrapper: place.wrapper) { scene in
            try await body(scene, place, disk)
        }
    }

    private func useOnce(_ forward: ForwardInfo, of daemon: EicedDaemon) async throws {
        let socket = try await Scene.connect(forward)
        try await expectEcho(on: socket)
        socket.close()
        try await daemon.waitForTunnels(open: 0)
    }

    private func waitForAudit(_ lines: Int, at path: String) async throws {
        try await eventually("the audit has \(lines) whole lines") {
            let found = contents(of: path)?.split(separator: "\n") ?? []
            return found.count == lines && found.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") }
        }
    }

    @Test(.enabled("no mounts can be made here (unshare --mount)") { try await PrivatePlace.canBeMade })
    func aDiskThatIsFullStopsNoTunnelAndLosesNothing() async throws {
        try await playOnOwnDisk { scene, place, disk in
            let web = try await scene.add(Scene.web, "--name", "web")
            try await useOnce(web, of: scene.daemon)
            try await waitForAudit(1, at: place("\(disk)/eiced/audit.jsonl"))
            let saved = contents(of: place("\(disk)/eiced/forwards.json"))

            try await place.run("cat /dev/zero >\(disk)/filler 2>/dev/null || true")
            let refused = try await scene.daemon.eicectl("add", Scene.web, "22", "--name", "db")
            #expect(refused.code == 74 && refused.errors.contains("no space left on device"), "\(refused)")
            #expect(try await scene.daemon.forwards().map(\.name) == ["web"])
            #expect(contents(of: place("\(disk)/eiced/forwards.json")) == saved)
            // The end of the audit's last page has room for some lines.
            let uses = 15
            for _ in 0..<uses { try await useOnce(web, of: scene.daemon) }
            try await eventually("the status tells of the audit") {
                let audit = try await scene.daemon.status().audit
                return audit?.failure?.failure.description.contains("no space left on device") == true
                    && audit?.lost == 0
            }

            try await place.run("rm \(disk)/filler")
            #expect(try await scene.daemon.eicectl("add", Scene.web, "22", "--name", "db").code == 0)
            try await useOnce(web, of: scene.daemon)
            try await waitForAudit(uses + 2, at: place("\(disk)/eiced/audit.jsonl"))
            #expect(try await scene.daemon.status().audit?.failure == nil)
            #expect(contents(of: place("\(disk)/eiced/forwards.json"))?.contains("\"db\"") == true)
            tell(figure: "disk_full_audit_lines_lost", try await scene.daemon.status().audit?.lost ?? -1)
        }
    }

    @Test(.enabled("no mounts can be made here (unshare --mount)") { try await PrivatePlace.canBeMade })
    func aStateFolderThatIsReadOnlyServesWhatIsInItAndRefusesWhatWouldChangeIt() async throws {
        try await playOnOwnDisk { scene, place, disk in
            _ = try await scene.add(Scene.web, "--name", "web")
            #expect(try await scene.daemon.eicectl("shutdown").code == 0)
            try await scene.daemon.process.exit()
            try await place.run("mount -o remount,ro \(disk)")

            let daemon = try await EicedDaemon.start(
                environment: scene.daemon.environment, configuration: Scene.table(of: [:]), in: scene.daemon.directory,
                wrapper: place.wrapper)
            let web = try #require(try await daemon.forwards().first)
            #expect(web.name == "web")
            try await useOnce(web, of: daemon)
            let refused = try await daemon.eicectl("add", Scene.web, "22", "--name", "db")
            #expect(refused.code == 74 && refused.errors.contains("read-only file system"), "\(refused)")
            #expect(try await daemon.forwards().map(\.name) == ["web"])
            try await useOnce(try await daemon.add([Scene.web, "22", "--name", "brief", "--ephemeral"]), of: daemon)
            try await eventually("the status tells of the audit") {
                let audit = try await daemon.status().audit
                return audit?.failure?.failure.description.contains("read-only file system") == true && audit?.lost == 0
            }

            try await place.run("mount -o remount,rw \(disk)")
            let added = try await daemon.eicectl("add", Scene.web, "22", "--name", "db")
            #expect(added.code == 0, "\(added)")
            try await useOnce(web, of: daemon)
            try await waitForAudit(3, at: place("\(disk)/eiced/audit.jsonl"))
            tell(figure: "read_only_state_audit_lines_lost", try await daemon.status().audit?.lost ?? -1)
        }
    }

    // MARK: Memory

    /// Swift ends a process that gets no memory, and nothing in it could go on. What counts is what is left: state that is whole,
    /// and that the next daemon serves.
    @Test(.enabled(if: Sanitizer.isAbsent, "a sanitizer's own memory counts for the limit"))
    func aDaemonThatGetsNoMemoryEndsAndWhatWasAcknowledgedIsThereAgain() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.onStage {
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: echo.port))
            let daemon = try await EicedDaemon.start(
                environment: emulator.environment, configuration: Scene.table(of: [:]))
            let port = try await daemon.add([Scene.web, "22", "--name", "first"]).port
            // One of each thing is there; what comes now needs memory that was never used.
            let data = try #require(daemon.process.facts.dataSize)
            let limit = "\((data + 512) << 10)"
            let set = try await ChildProcess.run(
                "/usr/bin/prlimit", ["--pid", "\(daemon.process.pid)", "--data=\(limit):\(limit)"])
            try #require(set.code == 0, "\(set)")

            var acknowledged: Set = ["first"]
            var undecided: Set<String> = []
            var clients: [LoopbackSocket] = []
            let block = [UInt8](repeating: 1, count: 64 << 10)
            for number in 0..<400 where daemon.process.exit == nil {
                let name = "forward-\(number)"
                let result = try await daemon.eicectl("add", Scene.web, "22", "--name", name)
                if result.code == 0 { acknowledged.insert(name) } else { undecided.insert(name) }
                // Their bytes are on the way in both directions, since nobody reads what the echo sends back.
                clients += try await onThread {
                    guard let socket = try? LoopbackSocket.connect(port: port) else { return [] }
                    try? socket.write(block)
                    return [socket]
                }
            }
            let exit = try await daemon.process.exit()
            #expect(exit != .code(0), "\(daemon.log.suffix(2_000))")
            let saved = Set(try StateFile.read(in: daemon.directory)?.names ?? [])
            #expect(saved.isSuperset(of: acknowledged) && saved.isSubset(of: acknowledged.union(undecided)))

            let next = try await EicedDaemon.start(
                environment: emulator.environment, configuration: Scene.table(of: [:]), in: daemon.directory)
            #expect(Set(try await next.forwards().map(\.name)) == saved)
            let again = try await Scene.connect(try #require(try await next.forwards().first))
            try await expectEcho(on: again)
            tell(figure: "memory_out_forwards_kept", saved.count)
        }
    }
}
