import ControlProtocol
import Descriptors
import Failures
import Glibc

/// A session that says `hello` and `connect` and nothing else, as quickly as that can be done. Belongs to one thread.
///
/// It understands that the tunnel is open, and nothing besides: whatever else the daemon has to say is left in the socket, where
/// somebody who can read it takes the session up.
public final class ConnectSession {
    /// What the daemon has still to answer.
    public enum Awaited: String, Sendable {
        case hello, connect
    }

    package let socket: ControlSocket
    private let client: String
    private let timeout: Duration
    /// What was not answered yet, once ``open(_:watching:)`` has returned nil.
    public private(set) var awaited = Awaited.hello

    /// Connects to the daemon at `path`, and makes sure that it is this user's.
    ///
    /// - Parameters:
    ///   - client: the program's name and release, for the daemon's log.
    ///   - timeout: how long connecting, writing and `hello` may take, each.
    /// - Throws: `.daemonUnreachable` (no file, nobody listens) or `.foreignSocket`.
    public init(path: String, client: String, timeout: Duration = .seconds(10)) throws(Failure) {
        socket = try ControlSocket.connect(to: path, timeout: timeout)
        self.client = client
        self.timeout = timeout
    }

    /// Takes over a connected socket; for tests.
    package init(connected: FileDescriptor, path: String, client: String, timeout: Duration) throws(Failure) {
        socket = try ControlSocket(connected: connected, path: path)
        self.client = client
        self.timeout = timeout
    }

    /// Asks for a tunnel and waits as long as the daemon tries. To be called once.
    ///
    /// - Parameters:
    ///   - watching: a descriptor whose hang-up makes the tunnel pointless, and ends the wait.
    ///   - meanwhile: called once, while the daemon works.
    /// - Returns: nil when the daemon says something else, of which nothing was taken from the socket.
    public func open(
        _ parameters: ConnectParameters, watching: CInt? = nil, meanwhile: () -> Void = {}
    ) throws(Failure) -> OpenedTunnel? {
        // Both in one write: a round trip less.
        try socket.write(QuickConnect.request(parameters, client: client), until: TimeLimit(after: timeout))
        meanwhile()
        let isGreeted = try socket.takeLine(until: TimeLimit(after: timeout), if: QuickConnect.isResult) != nil
        guard isGreeted else { return nil }
        awaited = .connect
        guard let answer = try socket.takeLine(until: nil, watching: watching, if: QuickConnect.isResult) else {
            return nil
        }
        return try socket.opened(parameters, answer)
    }

    /// Gives the session up, for the program that this process is about to become.
    ///
    /// - Returns: the number of its descriptor, which stays open across execve(2) and is nobody's until then.
    public func leave() throws(Failure) -> CInt {
        guard fcntl(socket.descriptor.raw, F_SETFD, 0) == 0 else {
            throw Failure(.internal, "cannot keep the session open", why: SystemError("fcntl").reason)
        }
        return socket.descriptor.take()
    }
}
