import CLinux
import ControlClient
import ControlCodec
import ControlConnect
import ControlProtocol
import Failures
import Glibc
import Logging
import SocketIO
import Synchronization
import TestSupport

@testable import ControlServer

/// A server on a loop of its own, with a handler that a test steers.
final class Bench: Sendable {
    let folder: TemporaryDirectory
    let path: String
    let loop: Loop
    let handler = SteeredHandler()
    /// Touched on the loop alone.
    nonisolated(unsafe) private var server: ControlServer?

    init(limits: ControlServer.Limits = .init(hello: .seconds(10) * Patience.factor)) async throws {
        folder = try TemporaryDirectory()
        path = folder("control.sock")
        loop = try Loop(label: "control")
        let listener = try ControlListener.binding(path)
        try await start(listener, limits)
    }

    private func start(_ listener: sending ControlListener, _ limits: ControlServer.Limits) async throws {
        nonisolated(unsafe) let listener = listener
        try await run { loop in
            var log = Logger(label: "test")
            log.logLevel = .critical
            self.server = try ControlServer(listener, handler: self.handler, limits: limits, log: log, on: loop)
        }
    }

    func run<Value: Sendable>(_ body: @escaping @Sendable (isolated Loop) throws -> Value) async throws -> Value {
        try await handedOver { done in loop.submit { loop in done(Result { try body(loop) }) } }.get()
    }

    func withServer<Value: Sendable>(
        _ body: @escaping @Sendable (ControlServer, isolated Loop) -> Value
    ) async throws -> Value {
        try await run { loop in
            guard let server = self.server else { throw TestFailure("no server") }
            return body(server, loop)
        }
    }

    /// A connected client that says nothing yet.
    func client() throws -> RawClient { try RawClient(path) }

    /// A client that has said hello and heard the answer.
    func greetedClient() async throws -> RawClient {
        let client = try client()
        client.say(RawClient.hello)
        _ = try await client.line()
        return client
    }
}

/// Answers `forward.list` at once, keeps all else until the test wants it answered.
final class SteeredHandler: RequestHandler, Sendable {
    struct State {
        var requests: [ControlRequest] = []
        var replies: [PendingReply] = []
        var connects: [ConnectParameters] = []
        var clients: [ConnectClient] = []
        var cancelled = 0
        var peers: [PeerCredentials] = []
    }

    let state = Mutex(State())

    func handle(_ request: ControlRequest, peer: PeerCredentials, reply: PendingReply, on loop: isolated Loop) {
        state.withLock {
            $0.requests.append(request)
            $0.peers.append(peer)
        }
        switch request {
        case .forwardList: reply(.success(.forwards(.init(forwards: []))), on: loop)
        case .forwardRemove(let parameters):
            reply(.failure(Failure(.unknownForward, "no forward is called \(parameters.names)")), on: loop)
        default: state.withLock { $0.replies.append(reply) }
        }
    }

    func connect(
        _ parameters: ConnectParameters, peer: PeerCredentials, client: ConnectClient, on loop: isolated Loop
    ) -> any ConnectAttempt {
        state.withLock {
            $0.connects.append(parameters)
            $0.clients.append(client)
        }
        if parameters.target == "refused" { client.fail(Failure(.noEndpoint, "no endpoint"), on: loop) }
        return Attempt(self)
    }

    final class Attempt: ConnectAttempt {
        let handler: SteeredHandler

        init(_ handler: SteeredHandler) { self.handler = handler }

        func cancel(on loop: isolated Loop) { handler.state.withLock { $0.cancelled += 1 } }
    }
}

/// A client that speaks the protocol by hand.
final class RawClient: Sendable {
    static let hello = #"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":{"major":1,"minor":0}}}"# + "\n"

    let descriptor: FileDescriptor
    private let framing = Mutex(LineFraming())

    init(_ path: String) throws {
        descriptor = try FileDescriptor.socket(AF_UNIX)
        try descriptor.setNonBlocking(false)
        guard let address = SocketAddress(unixPath: path),
            address.withSockaddr({ connect(descriptor.raw, $0, $1) }) == 0
        else { throw SystemError("connect") }
    }

    /// Blocking from here on.
    init(adopting descriptor: FileDescriptor) throws {
        self.descriptor = descriptor
        try descriptor.setNonBlocking(false)
    }

    func say(_ text: String) {
        let bytes = Array(text.utf8)
        _ = send(descriptor.raw, bytes, bytes.count, CInt(MSG_NOSIGNAL))
    }

    static func request(_ id: Int, _ method: String, _ params: String = "{}") -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"# + "\n"
    }

    /// The next line; nil at the end of file.
    func line() async throws -> String? {
        try await onThread {
            while true {
                if case .line(let line) = self.framing.withLock({ $0.next() }) {
                    return String(decoding: line, as: UTF8.self)
                }
                guard let bytes = try self.receive() else { return nil }
                self.framing.withLock { $0.append(bytes) }
            }
        }
    }

    /// The next `count` lines.
    func lines(_ count: Int) async throws -> [String] {
        try await onThread {
            var lines: [String] = []
            while lines.count < count {
                if case .line(let line) = self.framing.withLock({ $0.next() }) {
                    lines.append(String(decoding: line, as: UTF8.self))
                    continue
                }
                guard let bytes = try self.receive() else { throw TestFailure("the session was closed") }
                self.framing.withLock { $0.append(bytes) }
            }
            return lines
        }
    }

    func reply() async throws -> ReplyHead {
        guard let line = try await line() else { throw TestFailure("the session was closed") }
        return try ControlWire.decode(ReplyHead.self, from: line.utf8)
    }

    /// Bytes as they come, those that a line left over first; nil at the end of file.
    func bytes() async throws -> String? {
        let rest = framing.withLock { $0.takeRest() }
        if !rest.isEmpty { return String(decoding: rest, as: UTF8.self) }
        return try await onThread { try self.receive().map { String(decoding: $0, as: UTF8.self) } }
    }

    private func receive() throws -> [UInt8]? {
        var poll = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, 20_000) == 1 else { throw TestFailure("nothing came") }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(descriptor.raw, &bytes, bytes.count, 0)
        return count > 0 ? Array(bytes[..<count]) : nil
    }
}

/// As `eicectl proxy` does it: a session opens the tunnel, or a client goes on where it stopped. Blocks.
func openTunnel(
    _ parameters: ConnectParameters, at path: String, onNotice: (ConnectNotice) -> Void = { _ in }
) throws(Failure) -> OpenedTunnel {
    let session = try ConnectSession(path: path, client: "test 1")
    if let tunnel = try session.open(parameters) { return tunnel }
    let client = try ControlClient(connected: session.socket.descriptor, path: path, client: "test 1")
    return try client.resume(parameters, awaiting: session.awaited, onNotice: onNotice)
}
