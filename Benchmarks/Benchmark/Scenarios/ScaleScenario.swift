import ControlProtocol
import Failures
import FoundationEssentials
import TestSupport

/// What a tunnel costs while thousands are open: the time to open one more, and memory.
struct ScaleScenario: Scenario {
    static let name = "scale"
    static let summary =
        "20 to 5,000 idle tunnels: time per new tunnel, memory per tunnel, what remains, and the cost of rest"

    private static let endpoints = 250
    private static let slots = 20
    /// Up to a thousand tunnels over 50 endpoints and back, then 5,000 over 250 and back.
    private static let climbs = [[20, 200, 1_000], [5_000]]
    /// The time of a new tunnel is that of the last ones of a step.
    private static let timed = 100
    private static let rest = Duration.seconds(30)
    /// After tunnels came or went, until the daemon has given memory back, twice where they went.
    private static let reclaim = Duration.seconds(13)

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        let target = try ParkedTarget()
        let emulator = try await Emulator.start(inventory: Self.inventory(port: target.port))
        let daemon = try await EicedDaemon.start(environment: emulator.environment, configuration: "")
        let fresh = try await daemon.settledMemory()
        settings.tell("at rest, never used")
        let unused = try await Self.atRest(daemon)
        // The parts that the first tunnel brings are no tunnel's.
        let first = try await daemon.forward(Self.instance(0), name: "f0")
        _ = try await onThread { try connectToFirstByte(first).length }
        try await daemon.waitForTunnels(open: 0)
        let used = try await daemon.settledMemory()
        var ports = [first]
        for number in 1..<Self.endpoints {
            ports.append(try await daemon.forward(Self.instance(number), name: "f\(number)"))
        }
        let base = try await daemon.settledMemory()

        var table = ReportTable(
            "Idle tunnels over endpoints of \(Self.slots) slots",
            columns: ["one more tunnel", "memory (PSS) per tunnel", "PSS of the daemon", "descriptors"],
            notes: [
                "One more tunnel: local connect to the target's first byte, the last \(Self.timed) of a step, one after another.",
                "A tunnel's memory includes its share of the spares, one for each endpoint in use; those are open when all tunnels",
                "are closed, too. It is counted from what the forwards take.",
                "Memory is looked at \(Int(Self.reclaim / .seconds(1))) s after a step: the daemon gives it back 5 s after tunnels came or went, and once more 5 s after they went.",
            ])
        table.add("none, before the first API call", nil, nil, Figure(fresh / 1_024, .mebibytes).atMost(14), nil)
        table.add("none, after the first tunnel", nil, nil, Figure(used / 1_024, .mebibytes).atMost(22), nil)
        table.add("none, \(Self.endpoints) forwards", nil, nil, Figure(base / 1_024, .mebibytes), nil)
        var idle: Rest?
        for steps in Self.climbs {
            var clients: [LoopbackSocket] = []
            for step in steps {
                var lengths: [Duration] = []
                while clients.count < step {
                    let port = ports[clients.count / Self.slots]
                    let opened = try await onThread { try connectToFirstByte(port) }
                    clients.append(opened.socket)
                    lengths.append(opened.length)
                }
                try await daemon.waitForTunnels(open: step)
                // A loop that had traffic a moment ago still holds what it needs for that, and what handshakes left is given back.
                try await letPass(Self.reclaim)
                let memory = try await daemon.settledMemory()
                settings.tell("\(step) tunnels are open")
                let share = Figure((memory - base) / Double(step), .kibibytes)
                table.add(
                    "\(Figure.number(Double(step))) tunnels",
                    Samples(Array(lengths.suffix(Self.timed)), per: .milliseconds(1)).figure(.milliseconds),
                    step >= 1_000 ? share.atMost(24) : share, Figure(memory / 1_024, .mebibytes),
                    Figure(Double(daemon.process.facts.descriptorCount ?? 0), .none))
                if step == 1_000 { idle = try await Self.atRest(daemon) }
            }
            let count = clients.count
            for client in clients { client.close() }
            clients = []
            try await daemon.waitForTunnels(open: 0)
            try await letPass(Self.reclaim)
            let left = Figure(try await daemon.settledMemory() / 1_024, .mebibytes)
            table.add(
                "those \(Figure.number(Double(count))) closed", nil, nil,
                count == 1_000 ? left.atMost(base / 1_024 * 1.2) : left,
                Figure(Double(daemon.process.facts.descriptorCount ?? 0), .none))
        }
        return [table, Self.restTable(unused, idle)]
    }

    // MARK: At rest

    /// What the daemon does for nobody, by second.
    private struct Rest {
        var processor: Duration
        var wakeUps: Double
    }

    private static func atRest(_ daemon: EicedDaemon) async throws -> Rest {
        // Past the second for which a loop waits for more traffic, and the few that idle threads live on.
        try await letPass(.seconds(15))
        let facts = daemon.process.facts
        func look() throws -> (processor: Duration, wakeUps: [String: Int]) {
            guard let processor = facts.processorTime, let wakeUps = facts.wakeUpCounts else {
                throw TestFailure("eiced has ended: \(daemon.log)")
            }
            return (processor, wakeUps)
        }
        let before = try look()
        try await letPass(Self.rest)
        let after = try look()
        let seconds = Self.rest / .seconds(1)
        let wakeUps = after.wakeUps.reduce(0) { $0 + $1.value - (before.wakeUps[$1.key] ?? 0) }
        return Rest(processor: (after.processor - before.processor) / seconds, wakeUps: Double(wakeUps) / seconds)
    }

    private static func restTable(_ unused: Rest, _ idle: Rest?) -> ReportTable {
        var table = ReportTable(
            "At rest, over \(Int(rest / .seconds(1))) s", columns: ["processor time a second", "wake-ups a second"],
            notes: [
                "Wake-ups are voluntary switches of all threads. The thousand tunnels are asked whether they live every 30 s of silence,",
                "at times rounded to 5 s, and their 50 endpoints' spares are renewed every minute.",
            ])
        func add(_ name: String, _ rest: Rest, isNothing: Bool) {
            let processor = Figure(rest.processor / .milliseconds(1), .milliseconds)
            let wakeUps = Figure(rest.wakeUps, .none)
            table.add(name, isNothing ? processor.atMost(0) : processor, isNothing ? wakeUps.atMost(0) : wakeUps)
        }
        add("no tunnels, never used", unused, isNothing: true)
        if let idle { add("1,000 idle tunnels", idle, isNothing: false) }
        return table
    }

    private static func instance(_ number: Int) -> String { "i-0be1c0000\(String(number + 10_000_000))" }

    /// A VPC with one endpoint and one instance, so many times.
    private static func inventory(port: UInt16) throws -> String {
        var endpoints: [[String: String]] = []
        var instances: [[String: String]] = []
        var targets: [String: String] = [:]
        for number in 0..<Self.endpoints {
            let suffix = String(number + 10_000_000)
            let address = "10.1.\(number / 100).\(number % 100 + 1)"
            let place = ["vpc": "vpc-0be1c0000\(suffix)", "subnet": "subnet-0be1c0000\(suffix)"]
            endpoints.append(place.merging(["id": "eice-0be1c0000\(suffix)"]) { $1 })
            instances.append(place.merging(["id": instance(number), "privateIp": address]) { $1 })
            targets["\(address):22"] = "127.0.0.1:\(port)"
        }
        struct Inventory: Encodable {
            var endpoints: [[String: String]]
            var instances: [[String: String]]
            var targets: [String: String]
        }
        let inventory = Inventory(endpoints: endpoints, instances: instances, targets: targets)
        return String(decoding: try JSONEncoder().encode(inventory), as: UTF8.self)
    }
}
