import ControlProtocol
import Failures
import TestSupport

/// Two daemons and one endpoint: one holds eight of its twenty slots, the other one wants more than are left.
struct SharedEndpointScenario: Scenario {
    static let name = "shared-endpoint"
    static let summary = "another process holds 8 of 20 slots and leaves: the cap settles at 12 and recovers"

    private static let target = "i-0be1c000000000001"
    private static let others = 8
    private static let slots = 20
    private static let wanted = 30
    /// How long it is watched between settling and the other's leaving.
    private static let watched = Duration.seconds(20)
    private static let rounds = 3

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        var table = ReportTable(
            "An endpoint that is shared",
            columns: ["settled at", "settled after", "refusals by the service", "recovered after"],
            notes: [
                "\(Self.others) of \(Self.slots) slots are another process's; \(Self.wanted) connections come at once. Refusals: until it",
                "settled and in the \(Int(Self.watched / .seconds(1))) s after that. Recovered: from the other's leaving to \(Self.slots) open.",
            ])
        for round in 1...Self.rounds {
            settings.tell("round \(round) of \(Self.rounds)")
            try await play("round \(round)", into: &table)
        }
        return [table]
    }

    private func play(_ name: String, into table: inout ReportTable) async throws {
        let target = try ParkedTarget()
        let emulator = try await Emulator.start(
            inventory: #"{"instances": [{"id": "\#(Self.target)", "privateIp": "10.0.0.5"}],"#
                + #" "targets": {"10.0.0.5:22": "127.0.0.1:\#(target.port)"}}"#)
        let configuration = "[timeouts]\nqueue = \"10m\"\n"
        let other = try await EicedDaemon.start(environment: emulator.environment, configuration: configuration)
        let daemon = try await EicedDaemon.start(environment: emulator.environment, configuration: configuration)
        let otherPort = try await other.forward(Self.target, name: "other")
        var theirs: [LoopbackSocket] = []
        for _ in 0..<Self.others { theirs.append(try await onThread { try connectToFirstByte(otherPort).socket }) }
        let port = try await daemon.forward(Self.target, name: "ours")

        let start = ContinuousClock.now
        let ours = try await onThread { try (0..<Self.wanted).map { _ in try LoopbackSocket.connect(port: port) } }
        try await daemon.waitForTunnels(open: Self.slots - Self.others)
        let settled = start.duration(to: .now)
        var seen: [Double] = []
        while start.duration(to: .now) < settled + Self.watched {
            seen.append(Double(try await daemon.status().tunnels.count { $0.state == .open }))
            try await letPass(.milliseconds(100))
        }
        let refusals = try await daemon.status().endpoints.first?.totals?.refusedAsFull ?? 0

        let leaving = ContinuousClock.now
        for socket in theirs { socket.close() }
        try await daemon.waitForTunnels(open: Self.slots)
        let recovered = leaving.duration(to: .now)
        table.add(
            name, Samples(seen).figure(.none), Figure(settled / .milliseconds(1), .milliseconds),
            Figure(Double(refusals), .none), Figure(recovered / .seconds(1), .seconds))
        for socket in ours { socket.close() }
    }
}
