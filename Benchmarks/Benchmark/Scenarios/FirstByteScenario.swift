import ControlProtocol
import TestSupport

/// From a local connect to the target's first byte, over paths of several lengths: with nothing prepared, with a spare, with
/// a warm tunnel.
struct FirstByteScenario: Scenario {
    static let name = "first-byte"
    static let summary = "local connect to the target's first byte, cold, with a spare and warm, at 0, 20 and 100 ms"

    private static let target = "i-0be1c000000000001"
    private static let roundTrips: [Duration] = [.zero, .milliseconds(20), .milliseconds(100)]
    /// Where the bars hold.
    private static let judged = Duration.milliseconds(100)

    private struct Lengths {
        var direct: [Duration] = []
        var cold: [Duration] = []
        var spare: [Duration] = []
        var warm: [Duration] = []
    }

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        var times = ReportTable(
            "Local connect to the target's first byte",
            columns: ["target alone", "cold", "with a spare", "warm"],
            notes: [
                "Medians of \(settings.pairs) with their quartiles, the four in turns. The round trip is the emulator's, which charges",
                "TCP's handshake to a connection's first flight. Cold: no spare (spares = 0), the target known; TLS 1.3.",
            ])
        var trips = ReportTable(
            "The same in round trips, beyond the target's own", columns: ["cold", "with a spare", "warm"])
        for roundTrip in Self.roundTrips {
            let milliseconds = Int(roundTrip / .milliseconds(1))
            settings.tell("round trip \(milliseconds) ms")
            let lengths = try await measure(roundTrip, settings)
            let isJudged = roundTrip == Self.judged
            let warm = Samples(lengths.warm, per: .milliseconds(1)).figure(.milliseconds)
            times.add(
                "\(milliseconds) ms", Samples(lengths.direct, per: .milliseconds(1)).figure(.milliseconds),
                Samples(lengths.cold, per: .milliseconds(1)).figure(.milliseconds),
                Samples(lengths.spare, per: .milliseconds(1)).figure(.milliseconds), isJudged ? warm.atMost(2) : warm)
            guard roundTrip > .zero else { continue }
            func beyond(_ values: [Duration]) -> Figure {
                Samples(zip(values, lengths.direct).map { $0 - $1 }, per: roundTrip).figure(.roundTrips)
            }
            let (cold, spare) = (beyond(lengths.cold), beyond(lengths.spare))
            trips.add(
                "\(milliseconds) ms", isJudged ? cold.atMost(3.2) : cold, isJudged ? spare.atMost(1.2) : spare,
                beyond(lengths.warm))
        }
        return [times, trips]
    }

    private func measure(_ roundTrip: Duration, _ settings: BenchSettings) async throws -> Lengths {
        let target = try ParkedTarget()
        let emulator = try await Emulator.start(
            inventory: #"{"instances": [{"id": "\#(Self.target)", "privateIp": "10.0.0.5"}],"#
                + #" "targets": {"10.0.0.5:22": "127.0.0.1:\#(target.port)"}}"#,
            options: ["--latency", "\(Int(roundTrip / .milliseconds(1)))ms", "--max-connections", "1000"])
        func daemon(spares: Int) async throws -> EicedDaemon {
            try await EicedDaemon.start(
                environment: emulator.environment, configuration: "[pool]\nspares = \(spares)\n")
        }
        let (cold, spare, warm) = (
            try await daemon(spares: 0), try await daemon(spares: 1), try await daemon(spares: 1)
        )
        let coldPort = try await cold.forward(Self.target, name: "cold")
        let sparePort = try await spare.forward(Self.target, name: "spare")
        let warmPort = try await warm.forward(Self.target, name: "warm", warm: 1)
        // The first connection finds out where the target is, and leaves what the next one finds ready.
        for port in [coldPort, sparePort, warmPort] { _ = try await Self.time(port) }

        var lengths = Lengths()
        for _ in 0..<settings.pairs {
            try await eventually("there is a spare") { try await spare.status().endpoints.first?.spares?.ready == 1 }
            try await eventually("a tunnel is warm") { try await Self.isWarm(warm) }
            lengths.direct.append(try await Self.time(target.port))
            lengths.cold.append(try await Self.time(coldPort))
            lengths.spare.append(try await Self.time(sparePort))
            lengths.warm.append(try await Self.time(warmPort))
        }
        return lengths
    }

    private static func time(_ port: UInt16) async throws -> Duration {
        try await onThread { try connectToFirstByte(port).length }
    }

    private static func isWarm(_ daemon: EicedDaemon) async throws -> Bool {
        try await daemon.status().tunnels.contains { $0.state == .warm }
    }
}
