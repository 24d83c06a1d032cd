import Glibc
import TestSupport

/// What the relay costs in figures that do not depend on the machine's other work: instructions and allocations, counted by
/// valgrind.
struct InstructionScenario: Scenario {
    static let name = "instructions"
    static let summary = "instructions and allocations for a MiB and for a round trip, counted by valgrind"

    private static let valgrind = "/usr/bin/valgrind"
    private static let target = "10.0.0.5"
    /// What is counted is the difference between much and little work: a start and a dial cost the same in both.
    private static let mebibytes = (little: 8, much: 40)
    private static let pings = (little: 500, much: 2_500)

    /// What valgrind is asked to count, and the line of its report that has it.
    private enum Count: String, CaseIterable {
        case instructions = "--tool=callgrind"
        case allocations = "--tool=memcheck"

        func arguments(profile: String?) -> [String] {
            switch self {
            case .instructions: [rawValue, "--callgrind-out-file=\(profile ?? "/dev/null")"]
            case .allocations: [rawValue, "--leak-check=no", "--undef-value-errors=no"]
            }
        }

        /// `==1== Collected : 123456` or `==1==   total heap usage: 1,234 allocs, 1,230 frees, …`.
        func read(_ report: String) -> Double? {
            let mark = self == .instructions ? "Collected :" : "total heap usage:"
            guard let line = report.split(separator: "\n").last(where: { $0.contains(mark) }),
                let found = line.firstRange(of: mark)
            else { return nil }
            let number = line[found.upperBound...].drop { $0 == " " }.prefix { $0.isNumber || $0 == "," }
            return Double(number.filter(\.isNumber))
        }
    }

    /// eiced without its debugging information, which valgrind stumbles over; the installed one has none either.
    private static func stripped(in folder: TemporaryDirectory) async throws -> String {
        let program = folder("eiced")
        let result = try await ChildProcess.run("/usr/bin/objcopy", ["--strip-debug", BuiltProducts.eiced, program])
        guard result.code == 0 else { throw TestFailure("\(result)") }
        return program
    }

    /// Whose work is counted.
    private enum Subject { case eiced, stunnel }

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        guard access(Self.valgrind, X_OK) == 0 else {
            throw TestFailure("valgrind is not installed: make bench installs it")
        }
        let folder = try TemporaryDirectory("valgrind")
        let program = try await Self.stripped(in: folder)
        var table = ReportTable(
            "Counted by valgrind", columns: ["instructions", "stunnel's", "allocations", "stunnel's"],
            notes: [
                "Of the relay's process, in user mode: the difference between \(Self.mebibytes.much) and \(Self.mebibytes.little) MiB, or",
                "\(Self.pings.much) and \(Self.pings.little) round trips of \(Work.pingLength) bytes. valgrind counts a copy by `rep movsb` byte",
                "by byte, and its processor has no AVX-512: the numbers compare with each other, not with time.",
            ])
        for (name, work) in [("a MiB up", Work.upload), ("a MiB down", .download), ("a round trip", .ping)] {
            settings.tell(name)
            var figures: [Figure] = []
            for count in Count.allCases {
                for subject in [Subject.eiced, .stunnel] {
                    func measure(isLittle: Bool) async throws -> Double {
                        let profile = isLittle || subject == .stunnel ? nil : settings.profiles
                        return try await Self.count(
                            count, of: subject, program, work, isLittle: isLittle,
                            profile: profile.map { "\($0)/callgrind.\(work)" })
                    }
                    let more = try await measure(isLittle: false) - measure(isLittle: true)
                    let amount =
                        work == .ping
                        ? Self.pings.much - Self.pings.little : Self.mebibytes.much - Self.mebibytes.little
                    figures.append(Figure(more / Double(amount), .none))
                }
            }
            table.add(name, figures[0], figures[1], figures[2], figures[3])
        }
        return [table]
    }

    private static func count(
        _ count: Count, of subject: Subject, _ program: String, _ work: Work, isLittle: Bool, profile: String?
    ) async throws -> Double {
        let server = try WorkServer()
        let wrapper = [valgrind] + count.arguments(profile: profile)
        let process: ChildProcess
        switch subject {
        case .stunnel:
            let stunnel = try await Peer.stunnel(to: server.plain.port, wrapper: wrapper)
            try await carry(work, isLittle: isLittle, through: stunnel.port)
            process = stunnel.client
        case .eiced:
            let daemon = try await EicedDaemon.start(
                environment: server.environment, configuration: "[pool]\nspares = 0\n", wrapper: wrapper,
                program: program)
            let port = try await daemon.forward(to: server, WorkServer.workPort, name: "bench")
            try await carry(work, isLittle: isLittle, through: port)
            try await daemon.waitForTunnels(open: 0)
            process = daemon.process
        }
        process.signal(SIGTERM)
        try await process.exit()
        guard let number = count.read(process.standardError) else {
            throw TestFailure("valgrind did not count: \(process.standardError)")
        }
        return number
    }

    private static func carry(_ work: Work, isLittle: Bool, through port: UInt16) async throws {
        try await onThread {
            guard work == .ping else {
                return try Worker.carry(work, (isLittle ? mebibytes.little : mebibytes.much) << 20, through: port)
            }
            let count = isLittle ? pings.little : pings.much
            let worker = try Worker(.ping, count, through: port)
            for _ in 0..<count { _ = try worker.ping() }
        }
    }
}
