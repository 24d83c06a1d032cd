import ArgumentParser
import ControlClient
import ControlProtocol
import EicectlProxy
import Failures
import Glibc

struct WaitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wait",
        abstract: "Wait until a forward is ready, for scripts.",
        discussion: """
            eicectl wait build --timeout 5m && ansible-playbook site.yml

            Ready means that the forward listens and that its target answers, through a tunnel of its own: with its \
            banner on port 22, to a connection request on port 3389. Each attempt takes a slot of the endpoint for as \
            long as it lasts. What may change by itself (an instance that starts, a service that does not answer yet, a \
            full endpoint) is tried again until the timeout; all else fails at once. The exit code is the last \
            failure's.
            """)

    @Argument(help: "The forward's name, as ls shows it.", completion: .forwards)
    var forward: String

    @Option(help: ArgumentHelp("How long to wait.", valueName: "time"))
    var timeout = "60s"

    @Flag(help: "Be content with a forward that listens; open no tunnel.")
    var listening = false

    @OptionGroup var common: CommonOptions

    func run() throws {
        guard let limit = DurationText.parse(timeout), limit >= .seconds(1), limit <= .seconds(86_400) else {
            throw Failure(
                .usage, "--timeout \(timeout)", why: "expected \(DurationText.expectation), from 1s to 24h")
        }
        let path = try SocketPath.find(option: common.socket)
        let spinner = Spinner("waiting for \(forward)")
        defer { spinner.stop() }
        var retry = WaitRetry(limit: limit, from: .now)
        var outcome: Outcome?
        while outcome == nil {
            do throws(Failure) {
                outcome = try attempt(path, left: retry.left(at: .now))
            } catch {
                let pause = try retry.pause(after: error, at: .now)
                var time = timespec(
                    tv_sec: Int(pause.components.seconds),
                    tv_nsec: Int(pause.components.attoseconds / 1_000_000_000))
                nanosleep(&time, nil)
            }
        }
        spinner.stop()
        if let outcome { Report.answer(common.json ? try Output.json(outcome) : outcome.text) }
    }

    private func attempt(_ path: String, left: Duration) throws(Failure) -> Outcome {
        let client = try ControlClient(path: path, client: Eicectl.name)
        let all = try client.call(Methods.ForwardList.self, NoParameters()).forwards
        guard let info = all.first(where: { $0.name == forward }) else {
            throw Failure(
                .unknownForward, "there is no forward named \(forward)", hint: "eicectl ls shows those there are")
        }
        guard info.state == .listening else {
            throw info.lastFailure?.failure ?? Failure(.cannotListen, "the forward \(forward) does not listen")
        }
        if listening { return .listening(info) }
        let seconds = min(max(Int(left.components.seconds), 1), ServiceLimits.tunnelSeconds.upperBound)
        return .answered(
            try client.call(
                Methods.ForwardProbe.self, ForwardProbeParameters(name: forward, timeout: seconds),
                timeout: .seconds(seconds + 5)))
    }

    enum Outcome: Encodable {
        case listening(ForwardInfo)
        case answered(ForwardProbeResult)

        var text: String {
            switch self {
            case .listening(let info): "\(info.name) listens on \(info.addresses.joined(separator: " and "))\n"
            case .answered(let result):
                "\(result.forward) is ready: its target answered after \(result.milliseconds) ms\n"
            }
        }

        func encode(to encoder: any Encoder) throws {
            switch self {
            case .listening(let info): try info.encode(to: encoder)
            case .answered(let result): try result.encode(to: encoder)
            }
        }
    }
}

/// Decides whether and when `wait` tries again. Pure.
struct WaitRetry {
    private let limit: Duration
    private let deadline: ContinuousClock.Instant
    private var next = Duration.milliseconds(500)
    private static let longest = Duration.seconds(5)
    private static let shortest = Duration.milliseconds(200)
    /// The daemon answered once: when it is gone now it restarts, and is waited for.
    private var hasTalked = false

    init(limit: Duration, from now: ContinuousClock.Instant) {
        self.limit = limit
        deadline = now + limit
    }

    func left(at now: ContinuousClock.Instant) -> Duration { now.duration(to: deadline) }

    /// - Returns: how long to pause before the next attempt.
    /// - Throws: `failure`, where waiting will not help or the time is over.
    mutating func pause(after failure: Failure, at now: ContinuousClock.Instant) throws(Failure) -> Duration {
        if failure.kind != .daemonUnreachable { hasTalked = true }
        guard Self.mayPass(failure.kind) || (failure.kind == .daemonUnreachable && hasTalked) else { throw failure }
        let left = left(at: now)
        guard left > Self.shortest else {
            var last = failure
            last.why += (last.why.isEmpty ? "" : "; ") + "waited \(DurationText.format(limit))"
            throw last
        }
        // The last attempt comes right before the end.
        defer { next = min(next * 2, Self.longest) }
        return min(next, max(left - Self.shortest, Self.shortest))
    }

    /// What may be otherwise in a minute without anybody's doing: all that ends with "try again", and instances that
    /// start, are replaced, or do not answer yet.
    static func mayPass(_ kind: Failure.Kind) -> Bool {
        let ofTargets: [Failure.Kind] = [
            .targetNotRunning, .targetWithoutAddress, .targetUnreachable, .unknownTarget, .cannotListen,
        ]
        return kind.exitCode == 75 || ofTargets.contains(kind)
    }
}
