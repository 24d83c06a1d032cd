import TestSupport

/// What the daemon has when nobody uses it: what must be the same after a soak as before.
struct Footprint: Hashable, Sendable, CustomStringConvertible {
    /// But for the connections that it keeps ready: spares, and libcurl's to the EC2 API, eight at most.
    var descriptors: Int
    var threads: Int
    /// KiB.
    var memory: Int

    var description: String { "\(descriptors) descriptors, \(threads) threads, \(memory) KiB" }

    /// The smallest of several looks: threads and buffers are let go when they have rested for a while, and a look itself
    /// takes a session.
    static func settled(_ stage: SoakStage) async throws -> Footprint {
        try await eventually("all tunnels have ended", within: .seconds(60)) {
            try await stage.status().tunnels.isEmpty
        }
        var smallest: Footprint?
        for _ in 0..<looks {
            try await letPass(pause)
            let spares = try await stage.status().endpoints.reduce(0) { $0 + ($1.spares?.ready ?? 0) }
            let facts = stage.daemon.process.facts
            guard let descriptors = facts.descriptorCount, let threads = facts.threadCount,
                let memory = facts.residentSetSize, let calls = facts.connectionCount(to: stage.apiPort)
            else { throw TestFailure("the daemon has ended\n\(stage.daemon.log.suffix(2_000))") }
            let now = Footprint(descriptors: descriptors - spares - calls, threads: threads, memory: memory)
            smallest =
                smallest.map {
                    Footprint(
                        descriptors: min($0.descriptors, now.descriptors), threads: min($0.threads, now.threads),
                        memory: min($0.memory, now.memory))
                } ?? now
        }
        guard let smallest else { throw TestFailure("nobody looked") }
        return smallest
    }

    private static let looks = 16
    /// So that all looks together take longer than a thread of the blocking pool rests before it ends (ten seconds).
    private static let pause = Duration.seconds(1)
}
