import ArgumentParser
import Glibc
import TestSupport

/// The command line of `eiced-soak`.
public struct SoakCommand: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "eiced-soak",
        abstract: "Hours in minutes: mixed traffic through eiced with a fault every few seconds.",
        discussion: """
            Every session ends whole, checked byte by byte, or with a reason in the daemon's audit; slots, descriptors, \
            threads and memory are back at the end. Lines of the form name=number go to stdout, progress goes to stderr. \
            The exit code is 1 where a promise is broken. It runs the eiced and eice-emulator that stand beside it.
            """)

    @Option(help: ArgumentHelp("How long, the warm-up not counted.", valueName: "n"))
    var seconds = 1_800

    @Option(help: ArgumentHelp("Seconds from one fault to the next.", valueName: "n"))
    var faultEvery = 10

    @Option(help: ArgumentHelp("The same number makes the same sessions and faults.", valueName: "n"))
    var seed: UInt64 = 7

    public init() {}

    public func validate() throws {
        guard seconds > 0, faultEvery > 0 else { throw ValidationError("a length of time must be above 0") }
    }

    public func run() async throws {
        let run = SoakRun(
            length: .seconds(seconds), seed: seed, faultEvery: .seconds(faultEvery), tell: Self.tell)
        do {
            let report = try await run.run()
            for (reason, count) in report.judgement.reasons.sorted(by: { $0.key < $1.key }) {
                Self.tell("\(count) ended by \(reason)")
            }
            for sentence in report.judgement.unexplained.prefix(50) { Self.tell("unexplained: \(sentence)") }
            for line in report.lines { print(line) }
            for promise in report.brokenPromises { Self.tell("broken: \(promise)") }
            guard report.brokenPromises.isEmpty else { throw ExitCode(1) }
        } catch let failure as TestFailure {
            Self.tell("\(failure)")
            throw ExitCode(1)
        }
    }

    @Sendable private static func tell(_ text: String) {
        let line = Array("eiced-soak: \(text)\n".utf8)
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
