import ArgumentParser
import Failures
import FoundationEssentials
import Glibc

/// The command line of `eiced-bench`.
public struct BenchCommand: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "eiced-bench",
        abstract: "Measures eiced against the emulator, and prints tables.",
        discussion: """
            It runs the eiced and eice-emulator that stand beside it, release builds all; `make bench` builds them. What is \
            compared was measured in turns in the same run. Progress goes to stderr, the tables to stdout.
            """)

    @Argument(help: ArgumentHelp("Those to run; all by default.", valueName: "scenario"))
    var scenarios: [String] = []

    @Option(help: ArgumentHelp("How often each thing is measured.", valueName: "n"))
    var pairs = 15

    @Option(help: ArgumentHelp("Leave callgrind's profiles there, for callgrind_annotate(1).", valueName: "folder"))
    var profiles: String?

    @Flag(help: "Print one JSON object instead of tables.")
    var json = false

    @Flag(help: "Fail (exit code 1) where a bar is missed.")
    var check = false

    @Flag(help: "List the scenarios, and end.")
    var list = false

    public init() {}

    public func run() async throws {
        do throws(Failure) {
            if list {
                for scenario in Scenarios.all { print("\(scenario.name): \(scenario.summary)") }
                return
            }
            let report = try await measure()
            try show(report)
            guard check, !report.missed.isEmpty else { return }
        } catch {
            Self.tell("error: \(error.sentence)")
            if let hint = error.hint { Self.tell("hint: \(hint)") }
            throw ExitCode(error.kind.exitCode)
        }
        throw ExitCode(1)
    }

    private func measure() async throws(Failure) -> Report {
        let chosen = try chosen()
        try Self.requireRelease()
        guard pairs >= 3 else { throw Failure(.usage, "cannot use --pairs \(pairs)", why: "it must be 3 or more") }
        Self.raiseDescriptorLimit()
        let settings = BenchSettings(pairs: pairs, profiles: profiles, tell: Self.tell)
        var report = Report(machine: .here())
        for scenario in chosen {
            Self.tell("\(scenario.name): \(scenario.summary)")
            do {
                let tables = try await scenario.init().run(settings)
                report.parts.append(Report.Part(scenario: scenario.name, tables: tables))
                // A run takes minutes: who watches sees each part when it is there.
                if !json { for table in tables { Self.write("\(table.markdown)\n", to: STDOUT_FILENO) } }
            } catch let failure as Failure {
                throw failure
            } catch {
                throw Failure(.internal, "scenario \(scenario.name) ended", why: "\(error)")
            }
        }
        return report
    }

    private func chosen() throws(Failure) -> [any Scenario.Type] {
        guard !scenarios.isEmpty else { return Scenarios.all }
        var chosen: [any Scenario.Type] = []
        for name in scenarios {
            guard let scenario = Scenarios.all.first(where: { $0.name == name }) else {
                throw Failure(
                    .usage, "there is no scenario \(name)",
                    why: "there are \(Scenarios.all.map { $0.name }.joined(separator: ", "))")
            }
            chosen.append(scenario)
        }
        return chosen
    }

    private func show(_ report: Report) throws(Failure) {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            do {
                Self.write(String(decoding: try encoder.encode(report), as: UTF8.self) + "\n", to: STDOUT_FILENO)
            } catch {
                throw Failure(.internal, "cannot write the report", why: "\(error)")
            }
        } else {
            Self.write("\(report.machine.sentence)\n", to: STDOUT_FILENO)
        }
        for name in report.missed { Self.tell("missed: \(name)") }
        Self.tell("\(report.barCount - report.missed.count) of \(report.barCount) bars reached")
    }

    /// A debug build measures the checks that only it has.
    private static func requireRelease() throws(Failure) {
        #if DEBUG
            throw Failure(.usage, "this is a debug build, which measures nothing that matters", hint: "make bench")
        #endif
    }

    /// Each tunnel takes two descriptors here: its client's and its target's.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    @Sendable private static func tell(_ text: String) { write("eiced-bench: \(text)\n", to: STDERR_FILENO) }

    private static func write(_ text: String, to stream: CInt) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(stream, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
