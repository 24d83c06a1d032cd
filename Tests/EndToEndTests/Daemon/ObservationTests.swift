import ControlProtocol
import FoundationEssentials
import Glibc
import SocketIO
import TestSupport
import Testing

/// Events, metrics, the audit and `wait`, with the built programs.
@Suite struct ObservationTests {
    private static func lines<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> [Value] {
        try text.split(separator: "\n").map { try JSONDecoder().decode(type, from: Data($0.utf8)) }
    }

    @Test func followerSeesAllThatHappensAndALateComerTheLast() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let follower = try scene.daemon.startEicectl(["events", "--follow", "--json"])
            defer { follower.signal(SIGTERM) }
            // It has subscribed once it sees an event.
            var attempts = 0
            try await eventually("the follower follows") {
                attempts += 1
                try await scene.add(Scene.web, "--name", "trial-\(attempts)")
                return follower.standardOutput.contains("forward.added")
            }
            let forward = try await scene.add(Scene.web, "--name", "followed")
            let socket = try await Scene.connect(forward)
            _ = try await onThread {
                try socket.write("hello")
                return try socket.readText()
            }
            socket.close()
            try await scene.daemon.waitForTunnels(open: 0)
            #expect(try await scene.daemon.eicectl("rm", "followed").code == 0)
            try await eventually("the removal is told") {
                follower.standardOutput.contains("forward.removed")
            }

            let told = try Self.lines(ControlEvent.self, follower.standardOutput)
            let later = try await scene.daemon.eicectl("events", "--json")
            let kept = try Self.lines(ControlEvent.self, later.output)
            for events in [told, kept] {
                let own = events.filter { ($0.forward?.name ?? $0.tunnel?.forward) == "followed" }
                #expect(own.map(\.event) == [.forwardAdded, .tunnelOpened, .tunnelClosed, .forwardRemoved])
                let closed = try #require(own.first { $0.event == .tunnelClosed })
                #expect(closed.reasonCode == "local-closed")
                #expect(closed.tunnel?.bytesLocalToRemote == 5 && closed.tunnel?.bytesRemoteToLocal == 5)
            }
            let one = try await scene.daemon.eicectl("events", "tunnel.closed")
            #expect(one.output.split(separator: "\n").count == 1, "\(one)")
            #expect(try await scene.daemon.eicectl("events", "tunnel.closd").code == 64)
        }
    }

    @Test func aFollowerWithoutAReaderEnds() async throws {
        try await Scene.alone { daemon in
            let (read, write) = try makePipe()
            let follower = try daemon.startEicectl(["events", "--follow"], output: .descriptor(write))
            write.close()
            read.close()
            #expect(try await follower.exit() == .code(0))
        }
    }

    @Test func eachTunnelHasItsLineInTheAudit() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add(Scene.web, "--name", "web")
            let socket = try await Scene.connect(forward)
            _ = try await onThread {
                try socket.write("secret")
                return try socket.readText()
            }
            socket.close()
            try await scene.daemon.waitForTunnels(open: 0)
            let refused = try await scene.daemon.eicectl("proxy", Scene.dead, "22", "--stdio")
            #expect(refused.code == 68)
            #expect(try await scene.daemon.eicectl("shutdown").code == 0)
            #expect(try await scene.daemon.process.exit() == .code(0))

            // Written by the time the daemon has ended.
            let path = scene.daemon.directory("state/eiced/audit.jsonl")
            let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
            let records = try Self.lines(Record.self, text)
            try #require(records.count == 2, "\(text)")
            #expect(records[0].forward == "web" && records[0].reason == "local-closed")
            #expect(records[0].bytesLocalToRemote == 6 && records[0].bytesRemoteToLocal == 6)
            #expect(records[0].client.uid == getuid() && records[0].client.pid == nil)
            #expect(records[0].instance == Scene.web && records[0].address == Scene.webAddress)
            #expect(records[0].endpoint == Scene.endpoint && records[0].requestID?.isEmpty == false)
            #expect(records[1].reason == "failed" && records[1].failure == "target-unreachable")
            #expect(records[1].client.command == "eicectl" && records[1].client.pid != nil)
            #expect(records[1].client.executable?.hasSuffix("/eicectl") == true)
            let key = try #require(scene.emulator.environment["AWS_SECRET_ACCESS_KEY"])
            #expect(!text.contains("secret\"") && !text.contains(key))
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
    }

    private struct Record: Decodable {
        struct Client: Decodable {
            var uid: UInt32?
            var pid: Int32?
            var command: String?
            var executable: String?
        }
        var client: Client
        var forward: String?
        var instance: String?
        var address: String?
        var endpoint: String?
        var requestID: String?
        var bytesLocalToRemote: Int
        var bytesRemoteToLocal: Int
        var reason: String
        var failure: String?
    }

    @Test func aDiskThatTakesNoAuditIsInTheStatusAndStopsNothing() async throws {
        let echo = try LoopbackServer.echo()
        let directory = try TemporaryDirectory()
        try directory.write("occupied", "")
        try await Scene.play(port: echo.port, environment: ["XDG_STATE_HOME": directory("occupied")]) { scene in
            let forward = try await scene.add(Scene.web, "--ephemeral")
            for _ in 1...2 {
                let socket = try await Scene.connect(forward)
                _ = try await onThread {
                    try socket.write("x")
                    return try socket.readText()
                }
                socket.close()
                try await scene.daemon.waitForTunnels(open: 0)
            }
            try await eventually("the status tells") {
                try await scene.daemon.status().audit?.failure?.failure.kind == .stateNotSaved
            }
            #expect(
                scene.daemon.log.components(separatedBy: "cannot write the audit").count == 2, "\(scene.daemon.log)")
        }
    }

    @Test func waitReturnsWhenTheTargetAnswers() async throws {
        let server = try LoopbackServer { try $0.write("SSH-2.0-test\r\n") }
        try await Scene.play(port: server.port) { scene in
            try await scene.add(Scene.web, "--name", "web")
            try await scene.add(Scene.dead, "--name", "dead")
            let ready = try await scene.daemon.eicectl("wait", "web", "--timeout", "30s")
            #expect(ready.code == 0 && ready.output.hasPrefix("web is ready: "), "\(ready)")
            let dead = try await scene.daemon.eicectl("wait", "dead", "--timeout", "4s")
            #expect(dead.code == 68 && dead.errors.contains("waited 4s"), "\(dead)")
            #expect(try await scene.daemon.eicectl("wait", "dead", "--listening").code == 0)
            #expect(try await scene.daemon.eicectl("wait", "nobody").code == 68)
            #expect(try await scene.daemon.eicectl("wait", "web", "--timeout", "0s").code == 64)
            // A probe gives its slot back.
            try await scene.daemon.waitForTunnels(open: 0)
            #expect(try await scene.daemon.status().endpoints.first?.slots.inUse == 0)
        }
    }

    @Test func theEndOfATunnelIsAnnounced() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add(Scene.web, "--max-duration", "61s")
            let socket = try await Scene.connect(forward)
            try await eventually("a warning, one second after the opening") {
                let events = try await scene.daemon.eicectl("events", "tunnel.expiring", "--json")
                return try Self.lines(ControlEvent.self, events.output).map(\.expiresIn) == [60]
            }
            socket.close()
        }
    }

    @Test func roundTripIsMeasuredForWhoLooks() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add()
            let socket = try await Scene.connect(forward)
            try await scene.daemon.waitForTunnels(open: 1)
            let trip = try #require(try await scene.daemon.status().tunnels.first?.roundTripMilliseconds)
            #expect(trip > 0 && trip < 1_000)
            socket.close()
        }
    }

    @Test func watchTakesTheTerminalAndGivesItBack() async throws {
        try await Scene.alone { daemon in
            for ending in ["q", "signal"] {
                let terminal = try Terminal()
                let watch = try daemon.startEicectl(
                    ["status", "--watch"], environment: ["TERM": "xterm"], input: .descriptor(terminal.slave),
                    output: .descriptor(terminal.slave))
                var seen = ""
                try await eventually("the screen is drawn twice") {
                    seen += terminal.read()
                    return seen.split(separator: "no forwards").count >= 3
                }
                // The alternate screen, no cursor, no echo.
                #expect(seen.hasPrefix("\u{1B}[?1049h\u{1B}[?25l"))
                #expect(!terminal.echoes)
                if ending == "q" { terminal.type("q") } else { watch.signal(SIGINT) }
                #expect(try await watch.exit() == .code(0))
                seen += terminal.read()
                #expect(seen.hasSuffix("\u{1B}[?25h\u{1B}[?1049l"))
                #expect(terminal.echoes)
            }
        }
    }

    /// A pseudo terminal, with both of its ends here.
    private final class Terminal: Sendable {
        let master: FileDescriptor
        let slave: FileDescriptor

        init() throws {
            // By hand: Swift's Glibc module does not import posix_openpt(3). TIOCSPTLCK, TIOCGPTN (ioctl_tty(2)).
            let raw = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
            guard raw >= 0 else { throw SystemError("open /dev/ptmx") }
            master = FileDescriptor(takingOwnership: raw)
            var lock: CInt = 0
            var number: CUnsignedInt = 0
            guard ioctl(raw, 0x4004_5431, &lock) == 0, ioctl(raw, 0x8004_5430, &number) == 0 else {
                throw SystemError("unlock a terminal")
            }
            let other = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
            guard other >= 0 else { throw SystemError("open a terminal") }
            slave = FileDescriptor(takingOwnership: other)
        }

        /// What was written since the last call.
        func read() -> String {
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            var text = ""
            while true {
                let count = Glibc.read(master.raw, &bytes, bytes.count)
                guard count > 0 else { return text }
                text += String(decoding: bytes[..<count], as: UTF8.self)
            }
        }

        func type(_ text: String) { _ = write(master.raw, text, text.utf8.count) }

        var echoes: Bool {
            var settings = termios()
            return tcgetattr(slave.raw, &settings) == 0 && settings.c_lflag & tcflag_t(ECHO) != 0
        }
    }

    @Test func metricsCountWhatHappened() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add()
            let socket = try await Scene.connect(forward)
            _ = try await onThread {
                try socket.write("12345")
                return try socket.readText()
            }
            let during = try await scene.daemon.eicectl("metrics")
            #expect(during.output.contains("\neiced_tunnels_open 1\n"), "\(during)")
            #expect(during.output.contains("eiced_relayed_bytes_total{direction=\"local_to_remote\"} 5\n"))
            #expect(during.output.hasSuffix("# EOF\n"))
            socket.close()
            try await scene.daemon.waitForTunnels(open: 0)
            let after = try await scene.daemon.eicectl("metrics")
            #expect(after.output.contains("eiced_tunnels_total{reason=\"local-closed\"} 1\n"), "\(after)")
            #expect(after.output.contains("eiced_relayed_bytes_total{direction=\"local_to_remote\"} 5\n"))
        }
    }

    @Test func watchingNeedsATerminalOrJSON() async throws {
        try await Scene.alone { daemon in
            #expect(try await daemon.eicectl("status", "--watch").code == 64)
            let watch = try daemon.startEicectl(["status", "--watch", "--json"])
            defer { watch.kill() }
            try await eventually("a line each second") {
                watch.standardOutput.split(separator: "\n").count >= 2
            }
            _ = try Self.lines(StatusResult.self, watch.standardOutput)
        }
    }
}
