import TestSupport

/// Bulk transfers: throughput and processor time, beside plain TLS relays in the same run.
struct RelayScenario: Scenario {
    static let name = "relay"
    static let summary =
        "throughput and processor time of bulk transfers, one and eight at once, beside stunnel and socat"

    /// By one measurement, all its connections together.
    private static let amount = 512 << 20

    private struct Figures {
        var rate: [Double] = []
        var rateAgainst: [Double] = []
        var rateOfSocat: [Double] = []
        /// Percent of what the machine's cores could do.
        var busy: [Double] = []
        /// Percent of the same, done by the relay.
        var share: [Double] = []
        /// Seconds for a GiB.
        var cost: [Double] = []
        var costAgainst: [Double] = []
    }

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        let paths = try await Paths()
        var throughput = ReportTable(
            "Throughput",
            columns: ["eiced", "against stunnel", "socat against stunnel", "cores in use", "by eiced"],
            notes: [
                "Medians of \(settings.pairs) with their quartiles, all in turns. \(Self.amount >> 20) MiB a measurement. Client, relay, TLS",
                "server and target share the machine's cores, so throughput is limited by all of them together: where these are in use,",
                "no part of it waits for another one.",
                paths.leftOut,
            ])
        var cost = ReportTable(
            "Processor time of the client's process for a GiB", columns: ["eiced", "against stunnel"],
            notes: [
                "eiced offers AES-128-GCM first and stunnel AES-256-GCM, both their defaults; the server takes what is offered first."
            ])
        for (work, connections) in [(Work.upload, 1), (.download, 1), (.upload, 8), (.download, 8)] {
            let name =
                "\(work == .upload ? "up" : "down"), \(connections == 1 ? "one connection" : "eight connections")"
            settings.tell(name)
            let figures = try await measure(work, connections, paths, settings)
            let one = connections == 1
            throughput.add(
                name, Samples(figures.rate).figure(.mebibytesPerSecond),
                Samples(figures.rateAgainst).figure(.times).atLeast(one ? (work == .upload ? 1.4 : 1.6) : 1.2),
                figures.rateOfSocat.isEmpty ? nil : Samples(figures.rateOfSocat).figure(.times),
                Samples(figures.busy).figure(.percent), Samples(figures.share).figure(.percent))
            let ratio = Samples(figures.costAgainst).figure(.times)
            cost.add(name, Samples(figures.cost).figure(.seconds), one ? ratio.atMost(0.75) : ratio)
        }
        return [throughput, cost]
    }

    private func measure(
        _ work: Work, _ connections: Int, _ paths: Paths, _ settings: BenchSettings
    ) async throws -> Figures {
        var figures = Figures()
        let share = Self.amount / connections
        for _ in 0..<settings.pairs {
            let ours = try await Self.carry(work, share, connections, paths.port, paths.daemon.process)
            let theirs = try await Self.carry(work, share, connections, paths.stunnel.port, paths.stunnel.client)
            let gibibytes = Double(Self.amount) / Double(1 << 30)
            figures.rate.append(Double(Self.amount >> 20) / (ours.length / .seconds(1)))
            figures.rateAgainst.append(theirs.length / ours.length)
            figures.cost.append(ours.processor / .seconds(1) / gibibytes)
            figures.costAgainst.append(ours.processor / theirs.processor)
            figures.busy.append(ours.busy)
            figures.share.append(ours.processor / ours.length / Double(Machine.coreCount) * 100)
            guard let socat = paths.socat else { continue }
            let its = try await Self.carry(work, share, connections, socat.port, socat.client)
            figures.rateOfSocat.append(theirs.length / its.length)
        }
        return figures
    }

    private static func carry(
        _ work: Work, _ count: Int, _ connections: Int, _ port: UInt16, _ process: ChildProcess
    ) async throws -> (length: Duration, processor: Duration, busy: Double) {
        let before = process.facts.processorTime
        let ticks = Machine.ticks()
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<connections {
                group.addTask { try await onThread { try Worker.carry(work, count, through: port) } }
            }
            try await group.waitForAll()
        }
        let length = start.duration(to: .now)
        guard let before, let after = process.facts.processorTime else { throw TestFailure("the relay has ended") }
        let now = Machine.ticks()
        let busy = Double(now.busy - ticks.busy) / Double(max(1, now.all - ticks.all)) * 100
        return (length, after - before, busy)
    }
}
