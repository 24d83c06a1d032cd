import Glibc
import SocketIO
import TestSupport

/// `eicectl proxy` as ssh starts it: from its spawn to the target's first byte.
struct StartScenario: Scenario {
    static let name = "proxy"
    static let summary = "eicectl proxy from its start to the target's first byte, handed over and as a pipe, beside nc"

    private static let arguments = [
        "proxy", "10.0.0.5", "\(WorkServer.greetingPort)", "--endpoint", WorkServer.endpoint, "--endpoint-dns",
        WorkServer.name,
    ]

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        let target = try ParkedTarget()
        let server = try WorkServer()
        let daemon = try await EicedDaemon.start(environment: server.environment, configuration: "")
        _ = try await Self.handedOver(daemon)
        var handed: [Duration] = []
        var piped: [Duration] = []
        var others: [Duration] = []
        for _ in 0..<settings.pairs * 3 {
            try await eventually("there is a spare") { try await daemon.status().endpoints.first?.spares?.ready == 1 }
            handed.append(try await Self.handedOver(daemon))
            try await eventually("there is a spare") { try await daemon.status().endpoints.first?.spares?.ready == 1 }
            piped.append(
                try await Self.piped(BuiltProducts.eicectl, Self.arguments + ["--stdio"], daemon.environment))
            others.append(try await Self.piped("/usr/bin/nc", ["127.0.0.1", "\(target.port)"], [:]))
        }
        let other = Samples(others, per: .milliseconds(1))
        var table = ReportTable(
            "From the start of the program to the target's first byte", columns: ["length", "against nc"],
            notes: [
                "Medians of \(handed.count) with their quartiles, in turns, with a spare. nc speaks plain TCP with the target itself."
            ])
        func row(_ name: String, _ lengths: [Duration], bar: Double?) {
            let samples = Samples(lengths, per: .milliseconds(1))
            let ratio = Figure(samples.median / other.median, .times, count: lengths.count)
            table.add(name, samples.figure(.milliseconds), bar.map(ratio.atMost) ?? ratio)
        }
        row("eicectl proxy, handed over (ProxyUseFdpass)", handed, bar: 1.5)
        row("eicectl proxy, as a pipe", piped, bar: nil)
        table.add("nc", other.figure(.milliseconds), nil)
        return [table]
    }

    private static func handedOver(_ daemon: EicedDaemon) async throws -> Duration {
        let (mine, theirs) = try makeSocketPair()
        let start = ContinuousClock.now
        let child = try daemon.startEicectl(
            Self.arguments, input: .descriptor(theirs), output: .descriptor(theirs))
        theirs.close()
        let length = try await onThread {
            guard let stream = try mine.receiveDescriptors().descriptors.first else {
                // In ssh's words, by which eicectl knows ssh, and therefore takes this program for it (ProxyClient).
                throw TestFailure("proxy dialer did not pass back a connection: \(child.standardError)")
            }
            let socket = LoopbackSocket(takingOwnership: stream.take())
            _ = try socket.read(exactly: 1)
            let length = start.duration(to: .now)
            socket.close()
            return length
        }
        try await child.exit()
        return length
    }

    private static func piped(
        _ program: String, _ arguments: [String], _ environment: [String: String]
    ) async throws -> Duration {
        let (reader, writer) = try makePipe()
        let start = ContinuousClock.now
        let child = try ChildProcess(
            program, arguments, environment: environment, input: .pipe, output: .descriptor(writer))
        writer.close()
        let length = try await onThread {
            var byte: UInt8 = 0
            guard read(reader.raw, &byte, 1) == 1 else {
                throw TestFailure("\(program) said nothing: \(child.standardError)")
            }
            return start.duration(to: .now)
        }
        reader.close()
        child.input?.close()
        child.kill()
        try await child.exit()
        return length
    }
}
