import TestSupport

/// New connections: from the local connect to the target's first byte beside stunnel, and how many a second.
struct ConnectScenario: Scenario {
    static let name = "connect"
    static let summary = "local connect to the target's first byte beside stunnel, and a thousand tunnels at once"

    private static let rounds = 20
    private static let endpoints = 50
    private static let slots = 20

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        guard Peer.isInstalled("stunnel") else { throw TestFailure("stunnel is not installed: make bench installs it") }
        return [try await firstByte(settings), try await atOnce(settings)]
    }

    private func firstByte(_ settings: BenchSettings) async throws -> ReportTable {
        let server = try WorkServer()
        let daemon = try await EicedDaemon.start(environment: server.environment, configuration: "")
        let port = try await daemon.forward(to: server, WorkServer.greetingPort, name: "bench")
        let stunnel = try await Peer.stunnel(to: server.greeter.port)
        var ours: [Samples] = []
        var theirs: [Samples] = []
        for _ in 0..<settings.pairs {
            var lengths: (ours: [Duration], theirs: [Duration]) = ([], [])
            for _ in 0..<Self.rounds {
                try await eventually("there is a spare") {
                    try await daemon.status().endpoints.first?.spares?.ready ?? 1 == 1
                }
                lengths.ours.append(try await Self.time(port))
                lengths.theirs.append(try await Self.time(stunnel.port))
            }
            ours.append(Samples(lengths.ours, per: .milliseconds(1)))
            theirs.append(Samples(lengths.theirs, per: .milliseconds(1)))
        }
        var table = ReportTable(
            "Local connect to the target's first byte, beside stunnel",
            columns: ["eiced with a spare", "stunnel", "eiced against stunnel"],
            notes: [
                "Medians of \(settings.pairs) with their quartiles, in turns, \(Self.rounds) connections each time. stunnel's TLS sessions are",
                "resumed too; it verifies no certificate.",
            ])
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let ratio = Samples(zip(ours, theirs).map { $0.quantile(part) / $1.quantile(part) }).figure(.times)
            table.add(
                name, Samples(ours.map { $0.quantile(part) }).figure(.milliseconds),
                Samples(theirs.map { $0.quantile(part) }).figure(.milliseconds),
                part == 0.5 ? ratio.atMost(0.7) : ratio)
        }
        return table
    }

    /// The slots of many endpoints at once, so that none is waited for.
    private func atOnce(_ settings: BenchSettings) async throws -> ReportTable {
        let server = try WorkServer()
        let daemon = try await EicedDaemon.start(environment: server.environment, configuration: "")
        var ports: [UInt16] = []
        for number in 0..<Self.endpoints {
            ports.append(
                try await daemon.forward(
                    to: server, WorkServer.greetingPort, name: "bench\(number)",
                    endpoint: "eice-0be1c00000000\(number + 1_000)"))
        }
        let count = Self.endpoints * Self.slots
        var rates: [Double] = []
        for round in 1...max(3, settings.pairs / 3) {
            settings.tell("\(count) at once, round \(round)")
            let start = ContinuousClock.now
            let clients = try await onThread { [ports] in
                let clients = try (0..<count).map { try LoopbackSocket.connect(port: ports[$0 / Self.slots]) }
                for client in clients {
                    guard try client.read(exactly: 1).count == 1 else { throw TestFailure("a connection was ended") }
                }
                return clients
            }
            rates.append(Double(count) / (start.duration(to: .now) / .seconds(1)))
            for client in clients { client.close() }
            try await daemon.waitForTunnels(open: 0)
        }
        var table = ReportTable(
            "Tunnels opened a second", columns: ["tunnels a second"],
            notes: [
                "\(count) connections at once over \(Self.endpoints) endpoints, until each has its target's first byte; the server's part",
                "of the TLS handshakes is done on the same cores.",
            ])
        table.add("eiced", Samples(rates).figure(.none).atLeast(1_000))
        return table
    }

    private static func time(_ port: UInt16) async throws -> Duration {
        try await onThread {
            let (socket, length) = try connectToFirstByte(port)
            socket.close()
            return length
        }
    }
}
