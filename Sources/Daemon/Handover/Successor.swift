import CLinux
import Failures
import Glibc
import SocketIO

/// The program that takes over: this one, as it stands on the disk now.
struct SuccessorProgram: Sendable {
    /// The way by which this program was started: another file may stand there by now.
    let path: String
    let arguments: [String]
    /// `NAME=value` each.
    let environment: [String]

    /// The variable that tells a process where what it takes over comes from: the number of a descriptor.
    static let variable = "EICED_HANDOVER"
    /// The number, below everything else that is open in a process that just began.
    private static let descriptor = 3

    /// What belongs to one process alone: sockets that the service manager passed to it, and its number.
    private static let own = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", variable]

    /// This process's own program, environment and arguments. At the start, before the file can be replaced.
    static func current() -> SuccessorProgram? {
        guard let path = ProcessStart.executable else { return nil }
        return SuccessorProgram(
            path: path, arguments: ProcessStart.arguments.filter { $0 != "--replace" },
            environment: ProcessStart.environment)
    }

    /// The environment of the next process; the number of a watchdog's is put in once it is known.
    var successorEnvironment: [String] {
        environment.filter { variable in !Self.own.contains { variable.hasPrefix("\($0)=") } }
            + ["\(Self.variable)=\(Self.descriptor)"]
    }

    /// Starts it through a process that ends at once, so that the new one is no child of this one: it becomes the service
    /// manager's. Blocks until it runs.
    ///
    /// - Parameter channel: what it finds as its descriptor.
    func start(channel: FileDescriptor) throws(SystemError) -> pid_t {
        let watched = environment.contains { $0.hasPrefix("WATCHDOG_USEC=") }
        var process: pid_t = 0
        let code = Self.withCStrings(arguments) { arguments in
            Self.withCStrings(successorEnvironment) { environment in
                path.withSystemString {
                    clinux_start_successor(
                        $0, arguments, environment, watched ? 1 : 0, channel.raw, CInt(Self.descriptor), &process)
                }
            }
        }
        guard code == 0 else { throw SystemError("start \(path)", code: code) }
        return process
    }

    private static func withCStrings<Value>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Value
    ) -> Value {
        let copies = strings.map { $0.duplicateSystemString() }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }
}

/// The old process's side of a hand-over: gives what it has, waits until the new one is prepared, and tells how it came out.
/// Confined to the control loop.
final class Successor {
    /// How long the new process may take.
    static let patience = Duration.seconds(30)

    private(set) var channel: HandoverChannel?
    private var deadline: Deadline?
    private var completion: ((Result<HandoverChannel, Failure>) -> Void)?
    private var program: pid_t?

    /// - Parameters:
    ///   - socket: leads to the new process.
    ///   - program: the new process, where this one started it.
    ///   - packets: what it is given.
    ///   - completion: once, with the channel when the new process waits for ``HandoverMessage/Kind/go``.
    init(
        _ socket: FileDescriptor, program: pid_t?, packets: [HandoverPacket], on loop: isolated Loop,
        completion: @escaping (Result<HandoverChannel, Failure>) -> Void
    ) throws(SystemError) {
        self.program = program
        self.completion = completion
        let channel = try HandoverChannel(socket, on: loop)
        self.channel = channel
        channel.onMessage = { [weak self] message in self?.heard(message, on: loop) }
        channel.onEnd = { [weak self] in
            self?.fail("it ended before it was ready", hint: "its log says why: journalctl --user -u eiced", on: loop)
        }
        deadline = loop.schedule(after: Self.patience) { [weak self] in
            self?.fail("it was not ready within \(DurationText.format(Self.patience))", hint: nil, on: loop)
        }
        for packet in packets { channel.send(packet.message, packet.descriptors, on: loop) }
        channel.send(HandoverMessage(.complete), on: loop)
    }

    private func heard(_ message: HandoverMessage, on loop: isolated Loop) {
        switch message.kind {
        case .ready:
            guard let channel else { return }
            settle(.success(channel), on: loop)
        case .failed:
            let failure = message.failure
            fail(failure?.sentence ?? "it cannot", hint: failure?.hint, on: loop)
        default: break
        }
    }

    private func fail(_ why: String, hint: String?, on loop: isolated Loop) {
        channel?.close(on: loop)
        // One that hangs must not wake up later and find itself in charge.
        if let program { kill(program, SIGKILL) }
        settle(.failure(Self.failure(why, hint: hint)), on: loop)
    }

    static func failure(_ why: String, hint: String? = nil) -> Failure {
        Failure(.handoverFailed, "the new eiced did not take over, this one goes on", why: why, hint: hint)
    }

    private func settle(_ result: Result<HandoverChannel, Failure>, on loop: isolated Loop) {
        if let deadline { loop.cancel(deadline) }
        deadline = nil
        let completion = completion
        self.completion = nil
        completion?(result)
    }
}
