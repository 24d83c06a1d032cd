import ControlProtocol
import Failures
import FoundationEssentials
import TestSupport

/// What a tunnel costs while thousands are open: the time to open one more, and memory.
struct ScaleScenario: Scenario {
    static let name = "scale"
    static let summary =
        "5,000 idle tunnels over 250 endpoints: time per new tunnel, memory per tunnel, and what remains"

    private static let endpoints = 250
    private static let slots = 20
    private static let steps = [100, 1_000, 5_000]
    /// The time of a new tunnel is that of the last ones of a step.
    private static let timed = 100

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        let target = try ParkedTarget()
        let emulator = try await Emulator.start(inventory: Self.inventory(port: target.port))
        let daemon = try await EicedDaemon.start(environment: emulator.environment, configuration: "")
        let fresh = try await daemon.settledMemory()
        var ports: [UInt16] = []
        for number in 0..<Self.endpoints {
            ports.append(try await daemon.forward(Self.instance(number), name: "f\(number)"))
        }
        // The parts that the first tunnel brings are no tunnel's.
        let first = ports[0]
        _ = try await onThread { try connectToFirstByte(first).length }
        try await daemon.waitForTunnels(open: 0)
        let base = try await daemon.settledMemory()

        var table = ReportTable(
            "Idle tunnels over \(Self.endpoints) endpoints of \(Self.slots) slots",
            columns: ["one more tunnel", "memory (PSS) per tunnel", "PSS of the daemon", "descriptors"],
            notes: [
                "One more tunnel: local connect to the target's first byte, the last \(Self.timed) of a step, one after another.",
                "A tunnel's memory includes its share of the spares, one for each endpoint in use. The daemon alone has",
                "\(Figure.number(fresh / 1_024)) MiB before its first API call, and with \(Self.endpoints) forwards and after its",
                "first tunnel \(Figure.number(base / 1_024)) MiB.",
            ])
        var clients: [LoopbackSocket] = []
        for step in Self.steps {
            var lengths: [Duration] = []
            while clients.count < step {
                let port = ports[clients.count / Self.slots]
                let opened = try await onThread { try connectToFirstByte(port) }
                clients.append(opened.socket)
                lengths.append(opened.length)
            }
            try await daemon.waitForTunnels(open: step)
            let memory = try await daemon.settledMemory()
            settings.tell("\(step) tunnels are open")
            let share = Figure((memory - base) / Double(step), .kibibytes)
            table.add(
                "\(Figure.number(Double(step))) tunnels",
                Samples(Array(lengths.suffix(Self.timed)), per: .milliseconds(1)).figure(.milliseconds),
                step >= 1_000 ? share.atMost(24) : share, Figure(memory / 1_024, .mebibytes),
                Figure(Double(daemon.process.facts.descriptorCount ?? 0), .none))
        }
        let closing = ContinuousClock.now
        for client in clients { client.close() }
        clients = []
        try await daemon.waitForTunnels(open: 0)
        settings.tell("all closed after \(closing.duration(to: .now))")
        let left = try await daemon.settledMemory()
        table.add(
            "all closed", nil, nil, Figure(left / 1_024, .mebibytes).atMost(base / 1_024 * 1.2),
            Figure(Double(daemon.process.facts.descriptorCount ?? 0), .none))
        return [table]
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
