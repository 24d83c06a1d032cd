import Synchronization
import TestSupport

/// One soak: all lanes at once, a fault every few seconds, and at the end what became of each session.
struct SoakRun: Sendable {
    let length: Duration
    let seed: UInt64
    let faultEvery: Duration
    /// Says where a long run is.
    let tell: @Sendable (String) -> Void

    /// What is made once is made by then, failures' share of it among them: pools, caches, the allocator's arenas.
    private var warmUp: Duration { min(.seconds(60), max(.seconds(30), length / 5)) }
    /// Rest between two sessions of a lane, in milliseconds: a soak is long, not fast.
    private static let rest = 100...400

    func run() async throws -> SoakReport {
        let stage = try await SoakStage.build()
        do {
            return try await play(on: stage)
        } catch {
            throw TestFailure("\(error)\n--- eiced\n\(stage.daemon.log.suffix(4_000))")
        }
    }

    private func play(on stage: SoakStage) async throws -> SoakReport {
        let record = Record(audit: stage.daemon.directory("state/eiced/audit.jsonl"))
        var report = SoakReport()
        report.seconds = Int(length / .seconds(1))
        tell("warming up for \(Int(warmUp / .seconds(1))) s")
        try await traffic(on: stage, for: warmUp, seed: seed, into: record)
        report.before = try await Footprint.settled(stage)
        tell("\(report.before)")
        record.strikes.withLock { $0 = [] }
        try await traffic(on: stage, for: length, seed: seed &+ 1, into: record)
        report.after = try await Footprint.settled(stage)
        tell("\(report.after)")

        let status = try await stage.status()
        report.slotsLeft = status.endpoints.reduce(0) { $0 + $1.slots.inUse + $1.queued }
        if stage.daemon.process.exit != nil { throw TestFailure("the daemon has ended") }
        try record.readAudit()
        report.judgement = record.judgement(altered: stage.target.altered)
        report.mebibytes = record.bytes.withLock { $0 } >> 20
        let strikes = record.strikes.withLock { $0 }
        report.faults = strikes.count
        report.harmfulFaults = strikes.count { !$0.fault.isHarmless }
        return report
    }

    // MARK: Traffic and faults

    private func traffic(on stage: SoakStage, for length: Duration, seed: UInt64, into record: Record) async throws {
        let end = ContinuousClock.now + length
        let ports = try await stage.ports()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in Lane.all {
                let session = SoakSession(lane: lane, stage: stage, port: ports[lane.name])
                group.addTask {
                    var random = SeededGenerator(seed: seed &+ UInt64(lane.number) &* 1_000)
                    while ContinuousClock.now < end {
                        let conversation = lane.traffic.conversation(&random)
                        record.note(try await session.play(conversation), of: lane, conversation)
                        try await letPass(.milliseconds(Int.random(in: Self.rest, using: &random)))
                    }
                }
            }
            group.addTask { try await makeFaults(on: stage, until: end, seed: seed, into: record) }
            try await group.waitForAll()
        }
    }

    private func makeFaults(
        on stage: SoakStage, until end: ContinuousClock.Instant, seed: UInt64, into record: Record
    ) async throws {
        var schedule = FaultSchedule(seed: seed)
        var next = ContinuousClock.now + faultEvery
        while next < end {
            // In short steps, so that the audit is read before it is set aside twice.
            while ContinuousClock.now < next {
                try await letPass(min(.seconds(1), ContinuousClock.now.duration(to: next)))
                try record.readAudit()
            }
            next += faultEvery
            let strike = schedule.next()
            switch strike.victim {
            case .open: stage.relay.strike(strike.fault, strike.direction)
            case .dial(let phase): stage.relay.plan(.init(strike.fault, in: phase, strike.direction))
            }
            record.strikes.withLock { $0.append(strike) }
            tell("\(record.progress); now \(strike)")
        }
    }

    /// What happened so far, from all lanes.
    private final class Record: Sendable {
        let outcomes = Mutex<[Lane: [Outcome]]>([:])
        let bytes = Mutex(0)
        let strikes = Mutex<[FaultSchedule.Strike]>([])
        private let audit: Mutex<AuditFollower>

        init(audit: String) { self.audit = Mutex(AuditFollower(audit)) }

        func note(_ outcome: Outcome, of lane: Lane, _ conversation: Conversation) {
            outcomes.withLock { $0[lane, default: []].append(outcome) }
            if outcome == .whole { bytes.withLock { $0 += conversation.size } }
        }

        func readAudit() throws { try audit.withLock { try $0.read() } }

        var progress: String {
            let all = outcomes.withLock { $0.values.flatMap { $0 } }
            return "\(all.count) sessions, \(all.count { $0 != .whole }) of them cut"
        }

        /// - Parameter altered: what the target complained of.
        func judgement(altered: [String]) -> Judgement {
            let ends = audit.withLock { $0.ends }
            let outcomes = outcomes.withLock { $0 }
            var sum = Judgement()
            for lane in Lane.all {
                // Each lane has an instance of its own.
                sum += Judgement(
                    of: lane.name, outcomes: outcomes[lane] ?? [], ends: ends.filter { $0.target == lane.instance })
            }
            sum.unexplained += altered
            return sum
        }
    }
}
