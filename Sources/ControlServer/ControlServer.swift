import CLinux
import ControlCodec
import ControlProtocol
import Failures
import Glibc
import Logging
import SocketIO

/// The control socket's server: who may come in, and how many. Confined to the control loop.
public final class ControlServer {
    public struct Limits: Sendable {
        public var sessions: Int
        /// How long a client may take until it says hello.
        public var hello: Duration

        public init(sessions: Int = 256, hello: Duration = .seconds(10)) {
            self.sessions = sessions
            self.hello = hello
        }
    }

    private let socket: ControlListener
    private let handler: any RequestHandler
    /// For sessions that begin from now on.
    public var limits: Limits
    private let log: Logger
    private var listener: Listener?
    private var sessions: [ObjectIdentifier: ControlSession] = [:]

    /// Serves `socket` from now on. The handler is kept alive as long as the server.
    ///
    /// - Parameter isHeld: whether who connects waits until ``begin(on:)``.
    public init(
        _ socket: ControlListener, handler: any RequestHandler, limits: Limits = Limits(), isHeld: Bool = false,
        log: Logger, on loop: isolated Loop
    ) throws(SystemError) {
        self.socket = socket
        self.handler = handler
        self.limits = limits
        self.log = log
        if !isHeld { try begin(on: loop) }
    }

    /// Takes sessions from now on.
    public func begin(on loop: isolated Loop) throws(SystemError) {
        guard listener == nil else { return }
        listener = try Listener(
            adopting: socket.descriptor, on: loop,
            onTrouble: { [log] error in
                log.warning(
                    "cannot accept a control session; tried again until it can", metadata: ["why": "\(error.reason)"])
            },
            onAccept: { [weak self] in self?.accept($0, on: loop) })
    }

    /// Whether new sessions are taken.
    public var isAccepting: Bool { listener != nil }

    /// Listens on the socket's path again where clients cannot reach the socket by it any more. Open sessions go on.
    ///
    /// - Returns: whether that had to be done.
    /// - Throws: why it cannot be done now.
    public func restore(on loop: isolated Loop) throws(Failure) -> Bool {
        guard let old = listener, !socket.isReachable else { return false }
        try socket.rebind()
        // Who found the old one just before is served.
        old.takeWaiting(on: loop)
        old.close(on: loop)
        listener = nil
        do throws(SystemError) {
            try begin(on: loop)
        } catch {
            throw Failure(.cannotListen, "cannot listen on \(socket.path)", why: error.reason)
        }
        return true
    }

    /// The socket's path, for `status`.
    public var path: String { socket.path }

    /// Sessions that are open now.
    public var sessionCount: Int { sessions.count }

    /// Whether any session wants events: where none does nobody needs to make them.
    public var hasSubscribers: Bool { sessions.values.contains { $0.isSubscribed } }

    /// Tells an event to all who subscribed to its kind.
    public func publish(_ event: ControlEvent, on loop: isolated Loop) {
        guard hasSubscribers, let line = try? ControlWire.line(EventEnvelope(event)) else { return }
        // A copy: a session that cannot be written to leaves the table.
        for session in Array(sessions.values) { session.tell(event.event, line, on: loop) }
    }

    /// Takes no new sessions, and removes the socket's file if it is ours. Open sessions go on.
    public func stopAccepting(on loop: isolated Loop) {
        guard let listener else { return }
        self.listener = nil
        // The file goes first, so that nobody finds it and is refused.
        socket.removeFile()
        listener.close(on: loop)
    }

    /// Takes no new sessions and leaves the socket where it is: who connects waits for another process that has it. Who
    /// follows events is closed, since here nothing happens any more.
    public func letGo(on loop: isolated Loop) {
        listener?.close(on: loop)
        listener = nil
        for session in Array(sessions.values) where session.isSubscribed { session.close(on: loop) }
    }

    /// Stops accepting and closes all sessions; attempts to connect are cancelled.
    public func close(on loop: isolated Loop) {
        stopAccepting(on: loop)
        for session in Array(sessions.values) { session.close(on: loop) }
        socket.unlock()
    }

    func accept(_ descriptor: FileDescriptor, on loop: isolated Loop) {
        let peer: PeerCredentials
        do throws(SystemError) {
            peer = try PeerCredentials(of: descriptor)
        } catch {
            log.warning("closed a control session", metadata: ["why": "\(error)"])
            return descriptor.close()
        }
        // Before a single byte of it is read.
        guard Self.admits(peer: peer.uid, own: geteuid()) else {
            log.warning(
                "closed a control session of another user", metadata: ["uid": "\(peer.uid)", "pid": "\(peer.pid)"])
            return descriptor.close()
        }
        guard sessions.count < limits.sessions else {
            log.warning("refused a control session: there are \(limits.sessions)", metadata: ["pid": "\(peer.pid)"])
            return refuse(descriptor)
        }
        do throws(SystemError) {
            let session = try ControlSession(
                descriptor, peer: peer, server: self, handler: handler, helloTimeout: limits.hello, log: log, on: loop)
            sessions[ObjectIdentifier(session)] = session
        } catch {
            log.warning("closed a control session", metadata: ["why": "\(error)"])
            descriptor.close()
        }
    }

    /// Who may talk to the daemon: its own user, and nobody else, root included.
    static func admits(peer: UInt32, own: UInt32) -> Bool { peer == own }

    private func refuse(_ descriptor: FileDescriptor) {
        let failure = Failure(
            .tooManySessions, "cannot take another control session", why: "there are \(limits.sessions)",
            hint: "end programs that keep sessions open, such as eicectl events --follow")
        if let line = try? ControlWire.line(ErrorEnvelope(id: .null, error: ErrorObject(failure))) {
            // A fresh socket's buffer has room for it; a client that does not get it sees the close.
            _ = line.withUnsafeBytes {
                send(descriptor.raw, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
        }
        descriptor.close()
    }

    func sessionEnded(_ session: ControlSession) {
        sessions[ObjectIdentifier(session)] = nil
    }
}
