import CLinux
import ControlCodec
import ControlProtocol
import Failures
import Glibc
import Logging
import SocketIO

/// One client on the control socket. Confined to the control loop; ``SessionStateMachine`` decides, this acts.
final class ControlSession: StreamSocketOwner {
    /// Output beyond which no further request is taken from the client, and events are left out.
    static let outputLimit = 64 << 10
    static let eventOutputLimit = 1 << 20
    static let readSize = 64 << 10

    let peer: PeerCredentials
    private weak var server: ControlServer?
    private let handler: any RequestHandler
    private let log: Logger
    private var machine = SessionStateMachine()
    private var framing = LineFraming()
    private var output = OutputQueue()
    private var socket: StreamSocket?
    private var helloDeadline: Deadline?
    private var attempt: (any ConnectAttempt)?
    private var eventKinds: Set<ControlEvent.Kind>?
    private var droppedEvents = 0
    private var inputEnded = false
    private var isPumping = false

    var isSubscribed: Bool { machine.isSubscribed }

    init(
        _ descriptor: FileDescriptor, peer: PeerCredentials, server: ControlServer, handler: any RequestHandler,
        helloTimeout: Duration, log: Logger, on loop: isolated Loop
    ) throws(SystemError) {
        self.peer = peer
        self.server = server
        self.handler = handler
        self.log = log
        socket = try StreamSocket(descriptor, owner: self, on: loop)
        helloDeadline = loop.schedule(after: helloTimeout) { [weak self] in
            guard let self, machine.awaitsHello else { return }
            self.log.debug("a control session said no hello in time", metadata: ["pid": "\(peer.pid)"])
            close(on: loop)
        }
    }

    // MARK: The socket

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        pump(on: loop)
    }

    /// Writes what can be written, then reads and acts while the rules allow it.
    private func pump(on loop: isolated Loop) {
        // An answer that comes at once, from within an action, is sent by the pump that runs already.
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        while let socket {
            switch output.write(to: socket) {
            case .failed: return close(on: loop)
            case .blocked where socket.hungUp: return close(on: loop)
            case .blocked, .empty: break
            }
            if reportDroppedEvents() { continue }
            if machine.connectID != nil, socket.hungUp { return close(on: loop) }
            if machine.isOver, output.isEmpty { return close(on: loop) }
            if machine.isSubscribed, socket.hungUp { return close(on: loop) }
            guard output.pending < Self.outputLimit, machine.takesLines else { return }
            if actOnNextLine(on: loop) { continue }
            guard !inputEnded, socket.mayRead else {
                if output.isEmpty || !socket.mayWrite { return }
                continue
            }
            read(socket, on: loop)
        }
    }

    private func read(_ socket: StreamSocket, on loop: isolated Loop) {
        let result = withUnsafeTemporaryAllocation(byteCount: Self.readSize, alignment: 16) { memory in
            let result = socket.read(into: memory)
            if case .bytes(let count) = result { framing.append(UnsafeRawBufferPointer(rebasing: memory[..<count])) }
            return result
        }
        switch result {
        case .bytes, .wouldBlock: break
        case .endOfFile:
            inputEnded = true
            machine.receivedEndOfFile()
        case .failed: close(on: loop)
        }
    }

    /// - Returns: false when there is no whole line.
    private func actOnNextLine(on loop: isolated Loop) -> Bool {
        switch framing.next() {
        case nil: return false
        case .tooLong: run(machine.receivedLongLine(), on: loop)
        case .line(let line):
            let parsed: Result<(RequestID, ControlRequest), ControlRequest.Refusal>
            do throws(ControlRequest.Refusal) {
                parsed = .success(try ControlRequest.parse(line))
            } catch {
                parsed = .failure(error)
            }
            run(machine.received(parsed, isFollowed: isFollowed), on: loop)
        }
        return true
    }

    /// Whether bytes beyond the last line are here: read, or waiting in the socket.
    private var isFollowed: Bool {
        if framing.pending > 0 { return true }
        guard let socket else { return false }
        var byte: UInt8 = 0
        return recv(socket.descriptor.raw, &byte, 1, CInt(MSG_PEEK | MSG_DONTWAIT)) > 0
    }

    // MARK: Actions

    private func run(_ action: SessionStateMachine.Action, on loop: isolated Loop) {
        switch action {
        case .none: break
        case .greet(let id):
            if let helloDeadline { loop.cancel(helloDeadline) }
            helloDeadline = nil
            send(ResultEnvelope(id: id, result: HelloResult(pid: Int(getpid()))), to: id)
        case .refuse(let id, let error, _):
            send(ErrorEnvelope(id: id, error: error), to: id)
        case .handle(let id, let request):
            handler.handle(request, peer: peer, reply: PendingReply(self, id: id, home: loop), on: loop)
        case .subscribe(let id, let kinds):
            eventKinds = kinds
            send(ResultEnvelope(id: id, result: EventsSubscribeResult()), to: id)
        case .connect(_, let parameters):
            let client = ConnectClient(self, home: loop, parameters)
            let begun = handler.connect(parameters, peer: peer, client: client, on: loop)
            // It may have ended before it returned.
            if machine.connectID != nil { attempt = begun }
        }
    }

    func answer(_ id: RequestID, _ result: Result<ControlResult, Failure>, on loop: isolated Loop) {
        guard socket != nil else { return }
        machine.answered()
        switch result {
        case .failure(let failure): send(ErrorEnvelope(id: id, error: ErrorObject(failure)), to: id)
        case .success(let value):
            do {
                output.append(try value.line(id: id))
            } catch {
                cannotEncode(error, id)
            }
        }
        pump(on: loop)
    }

    func connectFailed(_ failure: Failure, on loop: isolated Loop) {
        attempt = nil
        guard socket != nil, let (id, _) = machine.connectFailed(isFollowed: isFollowed) else { return }
        send(ErrorEnvelope(id: id, error: ErrorObject(failure)), to: id)
        pump(on: loop)
    }

    /// For a client that waits for its tunnel.
    func tell(_ notice: ConnectNotice, on loop: isolated Loop) {
        guard socket != nil, let id = machine.connectID else { return }
        send(NoticeEnvelope(notice), to: id)
        pump(on: loop)
    }

    func giveAway(_ result: ConnectResult, on loop: isolated Loop) -> RawStream? {
        attempt = nil
        guard let socket = reachableSocket(on: loop), let id = machine.connected() else { return nil }
        send(ResultEnvelope(id: id, result: result), to: id)
        let stream = RawStream(
            descriptor: socket.detach(on: loop), first: output.takeAll(), received: framing.takeRest())
        self.socket = nil
        leave(on: loop)
        return stream
    }

    func pass(_ descriptor: FileDescriptor, _ result: ConnectResult, on loop: isolated Loop) -> Bool {
        attempt = nil
        guard reachableSocket(on: loop) != nil, let id = machine.connected() else {
            descriptor.close()
            return false
        }
        send(ResultEnvelope(id: id, result: result), to: id, passing: descriptor)
        pump(on: loop)
        return true
    }

    /// The socket, if the client is still at its other end.
    private func reachableSocket(on loop: isolated Loop) -> StreamSocket? {
        if let socket, socket.hungUp { close(on: loop) }
        return socket
    }

    // MARK: Events

    func tell(_ kind: ControlEvent.Kind, _ line: [UInt8], on loop: isolated Loop) {
        guard socket != nil, machine.isSubscribed, eventKinds?.contains(kind) ?? true else { return }
        guard droppedEvents == 0, output.pending + line.count <= Self.eventOutputLimit else {
            droppedEvents += 1
            return
        }
        output.append(line)
        pump(on: loop)
    }

    /// Once the client reads again it learns that it missed something.
    ///
    /// - Returns: whether there is something to write now.
    private func reportDroppedEvents() -> Bool {
        guard droppedEvents > 0, output.isEmpty else { return false }
        var event = ControlEvent(.eventsDropped, at: .now())
        event.dropped = droppedEvents
        droppedEvents = 0
        send(EventEnvelope(event), to: .null)
        return true
    }

    // MARK: Writing and closing

    private func send(_ value: some Encodable, to id: RequestID, passing descriptor: FileDescriptor? = nil) {
        do {
            output.append(try ControlWire.line(value), passing: descriptor)
        } catch {
            cannotEncode(error, id)
        }
    }

    /// Our values encode by construction; if one does not, the client still gets its reply.
    private func cannotEncode(_ error: any Error, _ id: RequestID) {
        log.error("cannot write a reply", metadata: ["error": "\(error)"])
        let failure = Failure(.internal, "cannot write the reply", why: "\(error)")
        if let line = try? ControlWire.line(ErrorEnvelope(id: id, error: ErrorObject(failure))) { output.append(line) }
    }

    /// The one way out, except for a socket that is given away.
    func close(on loop: isolated Loop) {
        guard let socket else { return }
        self.socket = nil
        socket.close(on: loop)
        let cancelled = attempt
        attempt = nil
        leave(on: loop)
        cancelled?.cancel(on: loop)
    }

    private func leave(on loop: isolated Loop) {
        if let helloDeadline { loop.cancel(helloDeadline) }
        helloDeadline = nil
        server?.sessionEnded(self)
    }
}
