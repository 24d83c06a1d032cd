import ControlProtocol
import Failures
import FoundationEssentials
import SocketIO
import Synchronization
import TestSupport
import Testing

/// Each fault, at each moment of a connection's life, in each direction, with a proxy and without: a table of what became of
/// it. The relay between daemon and emulator makes the faults.
@Suite struct FaultMatrixTests {
    private struct Cell {
        let plan: FaultRelay.Plan
        let viaProxy: Bool
        var outcome = ""
        var milliseconds = 0

        var name: String {
            "\(viaProxy ? "proxy " : "direct") \(plan.phase) \(plan.fault.rawValue) \(plan.direction.rawValue)"
        }
    }

    private static let cells: [Cell] = [false, true].flatMap { viaProxy in
        FaultRelay.Phase.allCases.filter { viaProxy || $0 != .connect }.flatMap { phase in
            FaultRelay.Fault.allCases.flatMap { fault in
                // Before there is a connection there is no direction.
                let directions =
                    phase == .tcp && [.reset, .gone].contains(fault) ? [.both] : FaultRelay.Direction.allCases
                return directions.map { Cell(plan: FaultRelay.Plan(fault, in: phase, $0), viaProxy: viaProxy) }
            }
        }
    }

    /// The deadlines of a dial's parts, short; those of a tunnel follow from them. On a busy machine the slower of the harmless
    /// faults must be over before them.
    private static let timeouts = [
        "connect": "2500ms", "tls": "2500ms", "upgrade": "2500ms", "dial": "8s", "close": "1s", "drain": "1s",
    ]
    private static let idleTimeout = "4s"

    @Test(.timeLimit(.minutes(10)))
    func everyFaultEndsWithItsReasonAndHarmsNobodyElse() async throws {
        #expect(Self.cells.count >= 150)
        let lanes = 4
        let results = try await withThrowingTaskGroup(of: [Cell].self) { group in
            for lane in 0..<lanes {
                let own = Self.cells.enumerated().filter { $0.offset % lanes == lane }.map(\.element)
                for viaProxy in [false, true] {
                    let share = own.filter { $0.viaProxy == viaProxy }
                    group.addTask { try await Self.play(share, viaProxy: viaProxy) }
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(results.count == Self.cells.count)
        let lines = results.sorted { $0.name < $1.name }.map { "  \($0.name): \($0.outcome), \($0.milliseconds) ms" }
        print("fault matrix: \(results.count) cells\n\(lines.joined(separator: "\n"))")
        tell(figure: "fault_matrix_cells", results.count)
    }

    // MARK: One lane

    private static func play(_ cells: [Cell], viaProxy: Bool) async throws -> [Cell] {
        let target = Recorder()
        let echo = try LoopbackServer { try target.serve($0) }
        let done = Mutex<[Cell]>([])
        try await Scene.onStage {
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: echo.port))
            let endpoint = try emulator.port(in: "EICED_CONNECT_TO")
            let proxy = try ConnectProxy()
            let relay = try FaultRelay(to: viaProxy ? proxy.port : endpoint)
            var environment = emulator.environment
            if viaProxy {
                environment["https_proxy"] = "http://127.0.0.1:\(relay.port)"
                environment["no_proxy"] = "127.0.0.1:\(try emulator.port(in: "AWS_ENDPOINT_URL_EC2"))"
            } else {
                environment["EICED_CONNECT_TO"] = "127.0.0.1:\(relay.port)"
            }
            let daemon = try await EicedDaemon.start(
                environment: environment, configuration: Scene.table(of: timeouts))
            let forward = try await daemon.add([Scene.web, "22", "--name", "victim", "--idle-timeout", idleTimeout])
            let other = try await daemon.add([Scene.web, "22", "--name", "bystander"])
            let bystander = try await Scene.connect(other)
            try await expectEcho(on: bystander)
            let before = try #require(daemon.process.facts.descriptorCount)
            for cell in cells {
                var cell = cell
                let start = ContinuousClock.now
                relay.plan(cell.plan)
                let end = try await run(cell, through: forward, relay, daemon)
                cell.milliseconds = Int(start.duration(to: .now) / .milliseconds(1))
                cell.outcome = end.reasonCode.map { $0 == "failed" ? end.failure?.kind.rawValue ?? "" : $0 } ?? "?"
                check(end, cell)
                try await eventually("\(cell.name): the fault struck") { relay.struck > 0 }
                if cell.plan.fault == .gone { try relay.listenAgain() }
                try await expectEcho(on: bystander)
                try await eventually("\(cell.name): the slot is back") {
                    try await daemon.status().endpoints.allSatisfy { $0.slots.inUse == 1 && $0.queued == 0 }
                }
                // The bystander's is open.
                try await eventually("\(cell.name): the target's connection has ended") { target.openCount == 1 }
                for received in target.takeEnded() {
                    #expect(
                        isSent(received), "\(cell.name): the target got \(received.count) bytes, not as they were sent")
                }
                done.withLock { $0.append(cell) }
            }
            try await eventually("descriptors are back") {
                try #require(daemon.process.facts.descriptorCount) <= before
            }
        }
        return done.withLock { $0 }
    }

    /// One connection to its end: an exchange, a long transfer, a close. What it got must be the beginning of what was sent.
    private static func run(
        _ cell: Cell, through forward: ForwardInfo, _ relay: FaultRelay, _ daemon: EicedDaemon
    ) async throws -> ControlEvent {
        let plan = cell.plan
        let socket = try await Scene.connect(forward)
        let peer = try #require(SocketAddress.local(of: socket.descriptor)).description
        let got = try await onThread { () -> Int in
            defer { socket.close() }
            let first = try exchange(opening, over: socket)
            guard first == opening else { return first }
            guard plan.phase != .close else {
                relay.enter(.close)
                return first
            }
            relay.enter(.streaming)
            return first + (try exchange(length, over: socket))
        }
        if plan.phase == .close {
            #expect(got == opening, "\(cell.name): \(got) bytes came before the fault")
        } else if plan.fault.isHarmless {
            #expect(got == opening + length, "\(cell.name): \(got) bytes came back")
        } else if plan.phase < .streaming {
            #expect(got == 0, "\(cell.name): \(got) bytes came out of a dial that failed")
        }
        return try await eventually("\(cell.name): its end is told") {
            let text = try await daemon.eicectl("events", "--json", "tunnel.closed").output
            let events = try text.split(separator: "\n").map {
                try JSONDecoder().decode(ControlEvent.self, from: Data($0.utf8))
            }
            return events.last { $0.tunnel?.peer == peer }
        }
    }

    /// Sends the beginning of the pattern and counts what comes back of it, up to the end or the break of the connection. A
    /// byte that is another one than was sent throws.
    private static func exchange(_ length: Int, over socket: LoopbackSocket) throws -> Int {
        let expected = pattern.bytes(0..<length)
        do {
            try socket.write(expected)
        } catch is SystemError {
            // What came back before may still be there to read.
        }
        var count = 0
        do {
            while count < length {
                let more = try socket.read(upTo: length - count)
                if more.isEmpty { break }
                guard more.elementsEqual(expected[count..<count + more.count]) else {
                    throw TestFailure("a byte after \(count) is not the one that was sent")
                }
                count += more.count
            }
        } catch is SystemError {
            return count
        }
        return count
    }

    private static let pattern = Pattern(seed: 77)
    private static let opening = 100
    private static let length = 40_000

    /// Whether a target may have got this: a beginning of what a cell sends, nothing twice.
    private static func isSent(_ received: [UInt8]) -> Bool {
        (pattern.bytes(0..<opening) + pattern.bytes(0..<length)).starts(with: received)
    }

    /// An instance's service that sends back what it gets and remembers it.
    private final class Recorder: Sendable {
        private struct State {
            var open = 0
            var ended: [[UInt8]] = []
        }

        private let state = Mutex(State())

        var openCount: Int { state.withLock(\.open) }

        /// What those connections got that have ended since the last call.
        func takeEnded() -> [[UInt8]] {
            state.withLock { state in
                defer { state.ended = [] }
                return state.ended
            }
        }

        func serve(_ connection: LoopbackSocket) throws {
            state.withLock { $0.open += 1 }
            var received: [UInt8] = []
            defer {
                state.withLock { state in
                    state.open -= 1
                    state.ended.append(received)
                }
            }
            while true {
                let bytes = try connection.read(upTo: 1 << 18)
                if bytes.isEmpty { break }
                received += bytes
                try connection.write(bytes)
            }
            connection.shutdownWrite()
        }
    }

    private static func check(_ end: ControlEvent, _ cell: Cell) {
        #expect(cell.milliseconds < deadline(cell.plan), "\(cell.name) took \(cell.milliseconds) ms")
        let kinds: Set<Failure.Kind>
        switch cell.plan.fault {
        case .delay, .trickle:
            #expect(end.reasonCode == "local-closed", "\(cell.name): \(end.reason ?? "")")
            return
        case .reset, .gone, .truncation: kinds = [.connectionLost, .tls, .cannotConnect, .webSocket]
        // A request for CONNECT whose end is damaged has none: its proxy waits.
        case .corruption where cell.viaProxy && cell.plan.phase <= .connect:
            kinds = [.deadline, .connectionLost, .webSocket, .upgradeRefused]
        case .corruption: kinds = [.tls, .connectionLost, .webSocket, .upgradeRefused, .cannotConnect]
        case .drop, .stall: kinds = [.deadline]
        }
        let code = end.reasonCode ?? ""
        switch cell.plan.phase {
        // The client has gone: whatever comes of the close handshake, that is why it ended.
        case .close: #expect(code == "local-closed", "\(cell.name): \(end.reason ?? "")")
        // Nobody can know that more would have come.
        case .streaming where kinds == [.deadline]: #expect(code == "idle-timeout", "\(cell.name): \(end.reason ?? "")")
        default:
            #expect(code == "failed", "\(cell.name): \(end.reason ?? "")")
            #expect(end.failure.map { kinds.contains($0.kind) } == true, "\(cell.name): \(end.reason ?? "")")
        }
    }

    /// What may pass until a cell's end is told: the limit of its phase in the configuration, and some seconds for programs that are
    /// started to ask for it.
    private static func deadline(_ plan: FaultRelay.Plan) -> Int {
        let slack = 3_000 * Patience.factor
        // A fault that delays or trickles is bound by what it does, not by a limit.
        if plan.fault.isHarmless { return 7_000 + slack }
        return switch plan.phase {
        case .tcp, .connect, .tls, .upgrade: 8_000 + slack
        case .streaming: 4_000 + 1_000 + 1_000 + slack
        case .close: 1_000 + 1_000 + slack
        }
    }
}
