import Glibc
import Synchronization
import TestSupport

/// Small round trips: one after another, with the pauses of somebody who types, and beside a bulk transfer.
struct PingScenario: Scenario {
    static let name = "ping"
    static let summary = "64-byte round trips, at once, after pauses as in typing, and beside a bulk transfer"

    private static let atOnce = 2_000
    private static let pauses = 60...260
    private static let bulk = 1 << 30
    /// What is told of a transfer's beginning by itself.
    private static let beginning = Duration.milliseconds(100)
    /// As many tunnels as eiced has relay loops at most: one of them is on the loop on which the transfer begins.
    private static let neighbours = 4

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
        var table = ReportTable(
            "Round trips of a tunnel while another carries all it can",
            columns: [
                "p99 alone", "p99 more beside it", "in its first \(Int(Self.beginning / .milliseconds(1))) ms",
            ],
            notes: [
                "Medians of \(settings.pairs) with their quartiles, in turns. A transfer of \(Self.bulk >> 30) GiB goes through the same",
                "relay, and from its beginning to its end \(Self.neighbours) other tunnels make round trips, one after another; the p99 is the",
                "worst of theirs. The transfer's client, TLS server and target take the cores as well, which no relay can change: stunnel,",
                "with a thread a connection, shows how much that is.",
            ])
        let ways = [("eiced", paths.port), ("stunnel", paths.stunnel.port)]
        for (work, name) in [(Work.upload, "an upload"), (.download, "a download")] {
            settings.tell("beside \(name)")
            var measured = [[BesideBulk]](repeating: [], count: ways.count)
            for _ in 0..<settings.pairs {
                for (index, (_, port)) in ways.enumerated() {
                    let alone = try await Self.pings(Self.atOnce, through: port)
                    let tunnels = try await Self.pings(beside: work, Self.bulk, through: port)
                    measured[index].append(BesideBulk(alone, tunnels, beginning: Self.beginning))
                }
            }
            for (index, (way, _)) in ways.enumerated() {
                let more = Samples(measured[index].map(\.more)).figure(.milliseconds)
                table.add(
                    "\(way), beside \(name)", Samples(measured[index].map(\.alone)).figure(.microseconds),
                    index == 0 ? more.atMost(1) : more,
                    Samples(measured[index].map(\.moreAtFirst)).figure(.milliseconds))
            }
        }
        return table
    }

    /// One round trip, and when it was over, since the transfer began.
    private struct RoundTrip {
        let end: Duration
        let length: Duration
    }

    /// The p99 of round trips alone in µs, and by how many ms that of the worst tunnel beside a transfer was more.
    private struct BesideBulk {
        let alone: Double
        let more: Double
        let moreAtFirst: Double

        init(_ alone: Samples, _ tunnels: [[RoundTrip]], beginning: Duration) {
            func worst(_ tunnels: [[RoundTrip]]) -> Double {
                tunnels.map { Samples($0.map(\.length), per: .milliseconds(1)).quantile(0.99) }.max() ?? 0
            }
            self.alone = alone.quantile(0.99)
            more = worst(tunnels) - self.alone / 1_000
            moreAtFirst = worst(tunnels.map { $0.filter { $0.end <= beginning } }) - self.alone / 1_000
        }
    }

    /// Whether a transfer is over, for who is on another thread.
    private final class End: Sendable {
        let isReached = Atomic(false)
    }

    /// Round trips of several tunnels from the beginning of a transfer to its end.
    private static func pings(beside work: Work, _ count: Int, through port: UInt16) async throws -> [[RoundTrip]] {
        let end = End()
        let pingers = try await onThread { try (0..<neighbours).map { _ in try Worker(.ping, 0, through: port) } }
        let start = ContinuousClock.now
        let transfer = Task {
            defer { end.isReached.store(true, ordering: .relaxed) }
            try await onThread { try Worker.carry(work, count, through: port) }
        }
        let roundTrips = try await onThread {
            var roundTrips = [[RoundTrip]](repeating: [], count: pingers.count)
            while !end.isReached.load(ordering: .relaxed) {
                for (index, pinger) in pingers.enumerated() {
                    let length = try pinger.ping()
                    roundTrips[index].append(RoundTrip(end: start.duration(to: .now), length: length))
                }
            }
            return roundTrips
        }
        try await transfer.value
        return roundTrips
    }

    private static func pings(_ count: Int, through port: UInt16) async throws -> Samples {
        try await onThread {
            let worker = try Worker(.ping, count, through: port)
            return Samples(try (0..<count).map { _ in try worker.ping() }, per: .microseconds(1))
        }
    }
}
