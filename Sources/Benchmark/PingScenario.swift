import Glibc
import TestSupport

/// Small round trips: one after another, with the pauses of somebody who types, and beside a bulk transfer.
struct PingScenario: Scenario {
    static let name = "ping"
    static let summary = "64-byte round trips, at once, after pauses as in typing, and beside a bulk transfer"

    private static let atOnce = 2_000
    private static let pauses = 60...260
    /// Enough to last longer than the pings beside it.
    private static let bulk = 2 << 30

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        let paths = try await Paths()
        return [
            try await oneAfterAnother(paths, settings), try await typing(paths, settings),
            try await besideBulk(paths, settings),
        ]
    }

    private func oneAfterAnother(_ paths: Paths, _ settings: BenchSettings) async throws -> ReportTable {
        settings.tell("one after another")
        var table = ReportTable(
            "\(Work.pingLength)-byte round trips, one after another",
            columns: ["eiced", "against stunnel", "socat against stunnel"],
            notes: [
                "Medians of \(settings.pairs) with their quartiles, in turns; \(Self.atOnce) round trips each time. \(paths.leftOut)"
            ])
        var ours: [Samples] = []
        var theirs: [Samples] = []
        var socats: [Samples] = []
        for _ in 0..<settings.pairs {
            ours.append(try await Self.pings(Self.atOnce, through: paths.port))
            theirs.append(try await Self.pings(Self.atOnce, through: paths.stunnel.port))
            if let socat = paths.socat { socats.append(try await Self.pings(Self.atOnce, through: socat.port)) }
        }
        for (name, part, bar) in [("p50", 0.5, 1.0), ("p99", 0.99, 1.2)] {
            func ratios(_ samples: [Samples]) -> Samples {
                Samples(zip(samples, theirs).map { $0.quantile(part) / $1.quantile(part) })
            }
            table.add(
                name, Samples(ours.map { $0.quantile(part) }).figure(.microseconds),
                ratios(ours).figure(.times).atMost(bar), socats.isEmpty ? nil : ratios(socats).figure(.times))
        }
        return table
    }

    private func typing(_ paths: Paths, _ settings: BenchSettings) async throws -> ReportTable {
        settings.tell("typing")
        let count = settings.pairs * 8
        let ports = [paths.port, paths.stunnel.port]
        let lengths = try await onThread {
            // The same order of pauses for each run.
            var random = SeededGenerator(seed: 6)
            let workers = try ports.map { try Worker(.ping, count, through: $0) }
            var lengths = [[Duration]](repeating: [], count: workers.count)
            for _ in 0..<count {
                for (index, worker) in workers.enumerated() {
                    usleep(UInt32(Int.random(in: Self.pauses, using: &random)) * 1_000)
                    lengths[index].append(try worker.ping())
                }
            }
            return lengths.map { Samples($0, per: .microseconds(1)) }
        }
        var table = ReportTable(
            "The same after pauses of \(Self.pauses.lowerBound) to \(Self.pauses.upperBound) ms, as in typing",
            columns: ["eiced", "against stunnel"], notes: ["\(count) round trips each, in turns."])
        table.add(
            "p50", lengths[0].figure(.microseconds),
            Figure(lengths[0].median / lengths[1].median, .times, count: count).atMost(1.2))
        return table
    }

    private func besideBulk(_ paths: Paths, _ settings: BenchSettings) async throws -> ReportTable {
        settings.tell("beside a bulk transfer")
        let ways = [("eiced", paths.port), ("stunnel", paths.stunnel.port)]
        var alone = [[Double]](repeating: [], count: ways.count)
        var more = [[Duration]](repeating: [], count: ways.count)
        for _ in 0..<max(3, settings.pairs / 3) {
            for (index, (_, port)) in ways.enumerated() {
                let before = try await Self.pings(Self.atOnce, through: port)
                let bulk = Task { try await onThread { try Worker.carry(.upload, Self.bulk, through: port) } }
                let beside = try await Self.pings(Self.atOnce, through: port)
                try await bulk.value
                alone[index].append(before.quantile(0.99))
                more[index].append(.microseconds(1) * (beside.quantile(0.99) - before.quantile(0.99)))
            }
        }
        var table = ReportTable(
            "Round trips of one tunnel while another carries all it can",
            columns: ["p99 alone", "p99 more beside it"],
            notes: [
                "In turns, the bulk transfer through the same relay. Its client, TLS server and target take the cores as well, which",
                "no relay can change: stunnel, with a thread a connection, shows how much that is.",
            ])
        for (index, (name, _)) in ways.enumerated() {
            let figure = Samples(more[index], per: .milliseconds(1)).figure(.milliseconds)
            table.add(
                name, Samples(alone[index]).figure(.microseconds), index == 0 ? figure.atMost(1) : figure)
        }
        return table
    }

    private static func pings(_ count: Int, through port: UInt16) async throws -> Samples {
        try await onThread {
            let worker = try Worker(.ping, count, through: port)
            return Samples(try (0..<count).map { _ in try worker.ping() }, per: .microseconds(1))
        }
    }
}
