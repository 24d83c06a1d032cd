import Bounds
import CLinux
import ControlClient
import ControlProtocol
import Failures
import Glibc
import SocketIO
import Synchronization

/// `eiced --replace`: asks the daemon that runs to hand over to this process. Comes before there are loops, and blocks.
enum Replacing {
    /// How long the daemon may take until it connects.
    private static let patience = Duration.seconds(10)

    /// - Parameter path: the control socket's.
    /// - Returns: nil where no daemon runs.
    /// - Throws: why it does not hand over.
    static func ask(at path: String) throws(Failure) -> Inheritance? {
        let client: ControlClient
        do throws(Failure) {
            client = try ControlClient(path: path, client: "eiced \(EICEDVersion.current)")
        } catch  where error.kind == .daemonUnreachable {
            return nil
        }
        let own = "\(path).successor.\(getpid())"
        let listener = try listen(at: own)
        defer { unlink(own) }
        let answer = Answer()
        let bound = LoopTransfer(client)
        // The answer comes when this process is ready, which it cannot be while it waits.
        BlockingPool.shared.run {
            do throws(Failure) {
                _ = try bound.take().call(
                    Methods.Shutdown.self, ShutdownParameters(handover: true, successor: own), timeout: .seconds(60))
            } catch {
                answer.fail(error)
            }
        }
        return try .receive(from: try accept(on: listener, answer))
    }

    private static func listen(at path: String) throws(Failure) -> FileDescriptor {
        do throws(SystemError) {
            let socket = try HandoverSocket.make()
            guard let address = SocketAddress(unixPath: path) else { throw SystemError("bind", code: ENAMETOOLONG) }
            try socket.bind(to: address)
            guard Glibc.listen(socket.raw, 1) == 0 else { throw SystemError("listen") }
            return socket
        } catch {
            throw Failure(.cannotListen, "cannot listen on \(path)", why: error.reason)
        }
    }

    private static func accept(on listener: FileDescriptor, _ answer: Answer) throws(Failure) -> FileDescriptor {
        let deadline = ContinuousClock.now + patience
        while true {
            if let failure = answer.failure { throw failure }
            let raw = clinux_accept(listener.raw)
            if raw >= 0 { return FileDescriptor(takingOwnership: raw) }
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else {
                throw Failure(
                    .handoverFailed, "cannot take over from the eiced that runs",
                    why: "it does not answer, or is of a release that cannot hand over",
                    hint: "eicectl shutdown, then start eiced")
            }
            var waiting = pollfd(fd: listener.raw, events: Int16(POLLIN), revents: 0)
            // Short, since the refusal comes another way.
            _ = poll(&waiting, 1, 50)
        }
    }

    /// What the daemon answered, from the thread that waits for it.
    private final class Answer: Sendable {
        private let state = Mutex<Failure?>(nil)
        var failure: Failure? { state.withLock { $0 } }
        func fail(_ failure: Failure) { state.withLock { $0 = failure } }
    }
}
