import CLinux
import Glibc
import SocketIO
import Synchronization

/// A program that a test runs: with an environment of its own, its output captured while it runs, ended at the
/// latest when this object goes or, for one with `diesWithParent`, when the tests themselves are killed.
///
/// One thread belongs to each child; it starts it, empties its pipes and reaps it, so that a child never waits for a
/// test to read.
public final class ChildProcess: Sendable {
    public enum Exit: Equatable, Sendable {
        case code(Int32)
        case signal(Int32)
    }

    public enum Input: Sendable {
        /// End of file at once.
        case empty
        /// A pipe, whose other end is ``ChildProcess/input``.
        case pipe
        /// The descriptor, which stays the caller's.
        case descriptor(FileDescriptor)
    }

    public enum Output: Sendable {
        case captured
        case descriptor(FileDescriptor)
    }

    public let pid: pid_t
    /// The writing end of the child's standard input, where that is a pipe.
    public let input: FileDescriptor?
    private let record: ChildRecord

    /// Starts `program` (a path).
    ///
    /// - Parameters:
    ///   - environment: the whole of it; nothing is inherited but a sanitizer's options.
    ///   - diesWithParent: whether the kernel kills it when the tests die. Costs one more exec, by setpriv(1).
    public init(
        _ program: String,
        _ arguments: [String] = [],
        environment: [String: String] = [:],
        input: Input = .empty,
        output: Output = .captured,
        diesWithParent: Bool = false
    ) throws {
        var command = [program] + arguments
        if diesWithParent { command = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] + command }

        let plan = try SpawnPlan(command, environment: environment, input: input, output: output)
        let record = ChildRecord()
        let started = try makePipe()
        // The death signal is tied to the thread that spawns, so that thread must live as long as the child.
        startThread {
            let result = plan.spawn()
            record.started(result)
            started.write.close()
            if case .success(let pid) = result { plan.follow(pid, into: record) }
        }
        // Not a wait for the child: posix_spawn returns as soon as the program is loaded, and the pipe ends.
        var byte: UInt8 = 0
        while read(started.read.raw, &byte, 1) < 0 && errno == EINTR {}
        pid = try record.pid()
        self.input = plan.inputEnd
        self.record = record
    }

    deinit { kill() }

    public var standardOutput: String { record.text(\.output) }
    public var standardError: String { record.text(\.errors) }
    public var standardOutputBytes: [UInt8] { record.bytes(\.output) }

    /// How it ended, or nil while it runs.
    public var exit: Exit? { record.exit?.status }

    /// When it ended, seen by the thread that reaped it.
    public var exitInstant: ContinuousClock.Instant? { record.exit?.instant }

    public var facts: ProcessFacts { ProcessFacts(of: pid) }

    public func signal(_ number: CInt) { record.signal(number) }

    public func kill() { record.signal(SIGKILL) }

    /// Waits for the end, and throws when it does not come within `limit`.
    @discardableResult
    public func exit(within limit: Duration = .seconds(30)) async throws -> Exit {
        let limit = limit * Patience.factor
        if let status = await record.exit(within: limit) { return status }
        throw TestFailure("process \(pid) still runs after \(limit)\n\(standardError)")
    }
}

/// What is known of a child, shared by its thread and the test.
final class ChildRecord: Sendable {
    struct Ended {
        var status: ChildProcess.Exit
        var instant: ContinuousClock.Instant
    }

    struct State {
        var start: Result<pid_t, SystemError>?
        var output: [UInt8] = []
        var errors: [UInt8] = []
        var ended: Ended?
        var waiters: [Int: CheckedContinuation<ChildProcess.Exit?, Never>] = [:]
        var nextWaiter = 0
    }

    private let state = Mutex(State())

    func started(_ result: Result<pid_t, SystemError>) { state.withLock { $0.start = result } }

    func pid() throws -> pid_t {
        guard let start = state.withLock({ $0.start }) else { throw TestFailure("the child was never started") }
        return try start.get()
    }

    var exit: Ended? { state.withLock { $0.ended } }

    func bytes(_ stream: KeyPath<State, [UInt8]>) -> [UInt8] { state.withLock { $0[keyPath: stream] } }

    func text(_ stream: KeyPath<State, [UInt8]>) -> String { String(decoding: bytes(stream), as: UTF8.self) }

    func append(_ bytes: ArraySlice<UInt8>, to stream: WritableKeyPath<State, [UInt8]>) {
        state.withLock { $0[keyPath: stream] += bytes }
    }

    /// Under the lock that `ended` takes, so that a number which the kernel gave to somebody else gets no signal.
    func signal(_ number: CInt) {
        state.withLock { state in
            if state.ended == nil, case .success(let pid) = state.start { _ = Glibc.kill(pid, number) }
        }
    }

    /// Waits for the end of `pid`, and reaps it.
    func reap(_ pid: pid_t) {
        // Not under the lock, which whoever signals it needs.
        var information = siginfo_t()
        while waitid(P_PID, id_t(pid), &information, CInt(WEXITED | WNOWAIT)) < 0 && errno == EINTR {}
        let instant = ContinuousClock.now
        let (status, waiters) = state.withLock { state in
            var raw: CInt = 0
            while waitpid(pid, &raw, 0) < 0 && errno == EINTR {}
            // wait(2): the low seven bits are the signal, the next byte the code.
            let signal = raw & 0x7f
            let status: ChildProcess.Exit = signal == 0 ? .code((raw >> 8) & 0xff) : .signal(signal)
            state.ended = Ended(status: status, instant: instant)
            let waiters = state.waiters.values
            state.waiters = [:]
            return (status, waiters)
        }
        for waiter in waiters { waiter.resume(returning: status) }
    }

    func exit(within limit: Duration) async -> ChildProcess.Exit? {
        await withCheckedContinuation { continuation in
            let known: (ended: ChildProcess.Exit?, ticket: Int) = state.withLock { state in
                if let ended = state.ended { return (ended.status, 0) }
                state.nextWaiter += 1
                state.waiters[state.nextWaiter] = continuation
                return (nil, state.nextWaiter)
            }
            if let ended = known.ended {
                continuation.resume(returning: ended)
                return
            }
            Task {
                try await Task.sleep(for: limit)
                self.state.withLock { $0.waiters.removeValue(forKey: known.ticket) }?.resume(returning: nil)
            }
        }
    }
}
