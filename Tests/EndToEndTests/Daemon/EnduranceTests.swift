import ControlProtocol
import Glibc
import SocketIO
import TestSupport
import Testing

/// The bars of the first release: much data, many connections, one bad neighbour. One at a time, since each has the
/// machine busy.
@Suite(.serialized) struct EnduranceTests {
    @Test func twoHundredMebibytesThroughOneTunnelEqualThemselves() async throws {
        let count = 200 << 20
        let pattern = Pattern(seed: 3)
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let socket = try await Scene.connect(try await scene.add())
            async let sent: Void = onThread { try pattern.send(count, on: socket) }
            async let received = onThread { try pattern.verify(count, from: socket) }
            try await sent
            #expect(try await received == count)
            try await eventually("the status has counted them") {
                let tunnel = try await scene.daemon.tunnels().first
                return tunnel?.bytesLocalToRemote == UInt64(count) && tunnel?.bytesRemoteToLocal == UInt64(count)
            }
            tell(figure: "full_duplex_mebibytes_each_way", try await received >> 20)
        }
    }

    /// A sanitizer makes each of them cost ten times as much, and a tenth of them tells it as much.
    private static let churned = Sanitizer.isAbsent ? 10_000 : 1_000

    @Test func tenThousandConnectionsLeaveNothingBehind() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let port = try await scene.add().port
            let facts = scene.daemon.process.facts
            @Sendable func churn(_ count: Int) throws -> Int {
                for number in 0..<count {
                    let socket = try LoopbackSocket.connect(port: port)
                    try socket.write("ping \(number)")
                    guard try socket.readText() == "ping \(number)" else { throw TestFailure("another answer") }
                    socket.close()
                }
                return count
            }
            @Sendable func now() throws -> (descriptors: Int, threads: Int, memory: Int) {
                guard let descriptors = facts.descriptorCount, let threads = facts.threadCount,
                    let memory = facts.residentSetSize
                else { throw TestFailure("the daemon is gone") }
                return (descriptors, threads, memory)
            }
            // What is made once is made by then: loops, pools, caches, the allocator's arenas.
            _ = try await onThread { try churn(200) }
            try await scene.daemon.waitForTunnels(open: 0)
            let before = try now()
            let churned = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<8 { group.addTask { try await onThread { try churn(Self.churned / 8) } } }
                return try await group.reduce(0, +)
            }
            try await scene.daemon.waitForTunnels(open: 0)
            // Nobody asks the daemon anything meanwhile: Dispatch lets its threads go when they have rested for seconds.
            try await eventually("descriptors and threads are back: \(before)") {
                let after = try now()
                return after.descriptors <= before.descriptors && after.threads <= before.threads
            }
            let after = try now()
            // A sanitizer keeps what was freed.
            if Sanitizer.isAbsent {
                #expect(Double(after.memory) < Double(before.memory) * 1.2, "KiB before \(before) and after \(after)")
            }
            #expect(try await scene.daemon.status().endpoints.first?.slots.inUse == 0)
            tell(figure: "connections_churned", churned)
        }
    }

    /// Half of them by a port, half by `eicectl proxy`, each in the middle of a download.
    @Test func twentyClientsKilledAtOnceGiveTheirSlotsBack() async throws {
        let pattern = Pattern(seed: 19)
        let target = try LoopbackServer { try pattern.send(.max, on: $0) }
        try await Scene.play(port: target.port) { scene in
            let port = try await scene.add().port
            let descriptors = try #require(scene.daemon.process.facts.descriptorCount)
            let clients = try (0..<20).map { number in
                number.isMultiple(of: 2)
                    ? try ChildProcess(
                        "/bin/sh", ["-c", "exec nc -d 127.0.0.1 \(port) >/dev/null"],
                        environment: ["PATH": "/usr/bin:/bin"], diesWithParent: true)
                    : try scene.daemon.startEicectl(
                        ["proxy", Scene.web, "22", "--stdio"], input: .pipe, output: .descriptor(try nowhere()))
            }
            try await scene.daemon.waitForTunnels(open: 20)
            for client in clients { client.kill() }
            try await eventually("all slots are free", within: .seconds(10)) {
                let status = try await scene.daemon.status()
                return status.tunnels.isEmpty && status.endpoints.first?.slots.inUse == 0
            }
            try await eventually("the target's connections are over") { target.openCount == 0 }
            try await eventually("descriptors are back") {
                try #require(scene.daemon.process.facts.descriptorCount) <= descriptors
            }
            tell(figure: "clients_killed_at_once", clients.count)
        }
    }

    /// KiB that a tunnel may hold whose two sides have stopped reading: four buffers of 68 KiB, two TLS records with OpenSSL's
    /// own bookkeeping, the tunnel itself.
    private static let boundOfAStoppedTunnel = 384

    /// Both directions at once, megabytes in each, and nobody reads.
    @Test func twentyTunnelsThatNobodyReadsFromStayBelowTheirBound() async throws {
        let pattern = Pattern(seed: 23)
        let target = try LoopbackServer { try pattern.send(64 << 20, on: $0) }
        try await Scene.play(port: target.port) { scene in
            let forward = try await scene.add()
            let facts = scene.daemon.process.facts
            // What is made once is made by the first.
            let first = try await Scene.connect(forward, receiveBuffer: 1 << 16)
            try await scene.daemon.waitForTunnels(open: 1)
            first.close()
            try await scene.daemon.waitForTunnels(open: 0)
            let before = try #require(facts.residentSetSize)

            var clients: [LoopbackSocket] = []
            for _ in 0..<20 { clients.append(try await Scene.connect(forward, receiveBuffer: 1 << 16)) }
            let senders = try clients.map { client in try Joined { try pattern.send(64 << 20, on: client) } }
            var last: [UInt64] = []
            try await eventually("nothing moves any more") {
                let tunnels = try await scene.daemon.tunnels()
                let now = tunnels.flatMap { [$0.bytesLocalToRemote, $0.bytesRemoteToLocal] }
                defer { last = now }
                return now.count == 40 && now == last && now.allSatisfy { $0 > 0 }
            }
            let grown = try #require(facts.residentSetSize) - before
            if Sanitizer.isAbsent { #expect(grown < 20 * Self.boundOfAStoppedTunnel, "\(grown) KiB for 20 tunnels") }
            tell(figure: "stopped_tunnel_kib", grown / 20)
            for client in clients { client.shutdownBoth() }
            // Cut off in the middle, each of them throws.
            for sender in senders { try? await onThread { try sender.wait() } }
        }
    }

    @Test func aStoppedReaderDoesNotDelayTheOthers() async throws {
        let pattern = Pattern(seed: 17)
        // The first byte says what is wanted: a flood, or an echo.
        let target = try LoopbackServer { connection in
            if try connection.read(exactly: 1) == [UInt8(ascii: "f")] {
                try pattern.send(.max, on: connection)
            }
            while true {
                let bytes = try connection.read()
                if bytes.isEmpty { return }
                try connection.write(bytes)
            }
        }
        try await Scene.play(port: target.port) { scene in
            let port = try await scene.add().port
            @Sendable func open(_ wish: String, receiveBuffer: CInt? = nil) throws -> LoopbackSocket {
                let socket = try LoopbackSocket.connect(port: port, receiveBuffer: receiveBuffer)
                try socket.write(wish)
                return socket
            }
            /// The slowest of some round trips.
            @Sendable func worstPing(_ socket: LoopbackSocket, _ count: Int) throws -> Duration {
                var worst = Duration.zero
                for number in 0..<count {
                    let began = ContinuousClock.now
                    try socket.write("\(number % 10)")
                    guard try socket.readText() == "\(number % 10)" else { throw TestFailure("another answer") }
                    worst = max(worst, ContinuousClock.now - began)
                }
                return worst
            }
            let stopped = try await onThread { try open("f", receiveBuffer: 1 << 16) }
            let others = try await onThread { try (0..<19).map { _ in try open("e") } }
            try await scene.daemon.waitForTunnels(open: 20)
            var last: UInt64 = .max
            try await eventually("the flood stands still") {
                let now = try await scene.daemon.tunnels().map(\.bytesRemoteToLocal).max() ?? 0
                defer { last = now }
                return now == last && now > 0
            }
            let worst = try await withThrowingTaskGroup(of: Duration.self) { group in
                for socket in others { group.addTask { try await onThread { try worstPing(socket, 200) } } }
                return try await group.reduce(Duration.zero, max)
            }
            // A frozen tunnel waits for seconds (the AWS CLI's ten); a busy machine costs milliseconds.
            #expect(worst < .seconds(2) * Patience.factor, "\(worst)")
            tell(figure: "worst_ping_beside_a_stopped_reader_us", Int(worst / .microseconds(1)))
            stopped.close()
        }
    }
}

private func nowhere() throws -> FileDescriptor {
    let raw = open("/dev/null", O_WRONLY | O_CLOEXEC)
    guard raw >= 0 else { throw SystemError("open /dev/null") }
    return FileDescriptor(takingOwnership: raw)
}
