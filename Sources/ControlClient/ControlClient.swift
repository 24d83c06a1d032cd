import ControlCodec
import ControlConnect
import ControlProtocol
import Descriptors
import Failures

/// A session with the daemon, as a program without an event loop wants it: each call waits for its reply.
///
/// Belongs to one thread. Every error is a ``Failure`` that is ready to be shown.
public final class ControlClient {
    private let socket: ControlSocket
    private let client: String
    private let timeout: Duration
    private var nextID = 1
    private var greeted = false
    private var events: [ControlEvent] = []

    /// Connects to the daemon at `path`, and makes sure that it is this user's.
    ///
    /// - Parameters:
    ///   - client: the program's name and release, for the daemon's log.
    ///   - timeout: how long connecting, `hello` and a call may take, each.
    /// - Throws: `.daemonUnreachable` (no file, nobody listens) or `.foreignSocket`.
    public convenience init(path: String, client: String, timeout: Duration = .seconds(10)) throws(Failure) {
        self.init(try ControlSocket.connect(to: path, timeout: timeout), client: client, timeout: timeout)
    }

    /// Takes over a connected socket.
    public convenience init(
        connected: FileDescriptor, path: String, client: String, timeout: Duration = .seconds(10)
    ) throws(Failure) {
        self.init(try ControlSocket(connected: connected, path: path), client: client, timeout: timeout)
    }

    private init(_ socket: ControlSocket, client: String, timeout: Duration) {
        self.socket = socket
        self.client = client
        self.timeout = timeout
    }

    /// Says `hello`, which must be the first call.
    ///
    /// - Throws: `.protocolMismatch` when the daemon speaks another major.
    @discardableResult
    public func hello() throws(Failure) -> HelloResult {
        greeted = true
        return try call(Methods.Hello.self, HelloParameters(client: client))
    }

    /// Calls a method and waits for its result; says `hello` first if that was not done.
    ///
    /// - Parameter timeout: how long the reply may take; nil: the session's.
    /// - Throws: what the daemon answered, or `.daemonUnreachable` when it does not answer.
    @discardableResult
    public func call<Method: ControlMethod>(
        _ method: Method.Type, _ parameters: Method.Parameters, timeout: Duration? = nil
    ) throws(Failure) -> Method.Value {
        if !greeted { try hello() }
        let id = RequestID.number(nextID)
        nextID += 1
        let request: [UInt8]
        do {
            request = try ControlWire.line(RequestEnvelope(method, id: id, parameters))
        } catch {
            throw Failure(.internal, "cannot write the request \(Method.name)", why: "\(error)")
        }
        guard request.count <= ControlWire.maximumLineLength + 1 else {
            throw Failure(.lineTooLong, "cannot send the request \(Method.name)", why: "it is over 1 MiB")
        }
        let deadline = TimeLimit(after: timeout ?? self.timeout)
        try socket.write(request, until: deadline)
        while true {
            let line = try answer(until: deadline)
            let head = try decode(ReplyHead.self, line)
            if head.method != nil {
                keepEvent(line)
                continue
            }
            // An error without an id is about what we just sent: the daemon could not read it.
            if let error = head.error, head.id == id || head.id == nil || head.id == .null { throw error.data }
            guard head.id == id else { continue }
            return try decode(ResultEnvelope<Method.Value>.self, line).result
        }
    }

    /// The next event of a session that has subscribed.
    ///
    /// - Parameters:
    ///   - deadline: when the wait ends with `.daemonUnreachable`; nil: never.
    ///   - watching: a descriptor whose hang-up makes events pointless, and ends the wait.
    /// - Returns: nil when the daemon has closed the session, or at that hang-up.
    public func nextEvent(
        until deadline: ContinuousClock.Instant? = nil, watching: CInt? = nil
    ) throws(Failure) -> ControlEvent? {
        while events.isEmpty {
            let line: [UInt8]?
            do throws(Failure) {
                line = try socket.readLine(
                    until: deadline.map { TimeLimit(after: ContinuousClock.now.duration(to: $0)) }, watching: watching)
            } catch {
                guard error.kind == .connectionLost else { throw error }
                line = nil
            }
            guard let line else { return nil }
            keepEvent(line)
        }
        return events.removeFirst()
    }

    /// Opens a tunnel with what a ``ConnectSession`` began on this socket: reads what that one could not, and waits on for as long
    /// as the daemon tries.
    ///
    /// - Parameters:
    ///   - awaited: what the daemon has still to answer; `hello` gets its whole time anew.
    ///   - watching: a descriptor whose hang-up makes the tunnel pointless, and ends the wait.
    ///   - onNotice: told what comes before the reply, where `parameters` ask for notices.
    /// - Returns: the tunnel. Its stream is, with `handoff`, the descriptor that the daemon passed, else the session's own
    ///   socket, of which not a byte of the stream has been read.
    public func resume(
        _ parameters: ConnectParameters, awaiting awaited: ConnectSession.Awaited, watching: CInt? = nil,
        onNotice: (ConnectNotice) -> Void = { _ in }
    ) throws(Failure) -> OpenedTunnel {
        if awaited == .hello {
            let line = try answer(until: TimeLimit(after: timeout))
            guard QuickConnect.isResult(line) else { throw refusal(line) }
        }
        greeted = true
        var line = try answer(until: nil, watching: watching)
        while QuickConnect.isNotification(line) {
            // What this version does not know it passes over.
            if let notice = try? ControlWire.decode(NoticeEnvelope.self, from: line).params { onNotice(notice) }
            line = try answer(until: nil, watching: watching)
        }
        guard QuickConnect.isResult(line) else { throw refusal(line) }
        return try socket.opened(parameters, line)
    }

    /// A line that must come.
    private func answer(
        until deadline: TimeLimit?, watching: CInt? = nil
    ) throws(Failure) -> [UInt8] {
        _ = socket.takeDescriptors()  // closes those that nobody asked for
        guard let line = try socket.readLine(until: deadline, watching: watching) else {
            throw Failure(
                .connectionLost, "lost eiced at \(socket.path)", why: "it closed the connection without an answer",
                hint: "journalctl --user -u eiced")
        }
        return line
    }

    private func keepEvent(_ line: [UInt8]) {
        if let envelope = try? ControlWire.decode(EventEnvelope.self, from: line) { events.append(envelope.params) }
    }

    private func refusal(_ line: [UInt8]) -> Failure {
        do {
            return try decode(ErrorEnvelope.self, line).error.data
        } catch {
            return error
        }
    }

    private func decode<Value: Decodable>(_: Value.Type, _ line: [UInt8]) throws(Failure) -> Value {
        do {
            return try ControlWire.decode(Value.self, from: line)
        } catch {
            throw Failure(
                .protocolMismatch, "cannot understand eiced at \(socket.path)",
                why: "\(error)", hint: "compare eicectl version and eiced --version")
        }
    }
}
