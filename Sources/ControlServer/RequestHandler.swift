import ControlCodec
import ControlProtocol
import Failures
import SocketIO

/// What the daemon fulfils. All calls are on the control loop.
public protocol RequestHandler: AnyObject {
    /// Fulfils a request other than `hello`, `connect` and `events.subscribe`, which the session answers by itself.
    ///
    /// - Parameter reply: to be used exactly once, now or later.
    func handle(_ request: ControlRequest, peer: PeerCredentials, reply: PendingReply, on loop: isolated Loop)

    /// Begins to open a tunnel for a session.
    ///
    /// - Parameter client: to be told how it ended, exactly once, now or later, unless the attempt is cancelled before.
    /// - Returns: what the session cancels when its client goes away meanwhile.
    func connect(
        _ parameters: ConnectParameters, peer: PeerCredentials, client: ConnectClient, on loop: isolated Loop
    ) -> any ConnectAttempt
}

/// A tunnel that is being opened for a session.
public protocol ConnectAttempt: AnyObject {
    /// The client is gone: nobody wants the tunnel any more. Called at most once, and not after the attempt has ended.
    func cancel(on loop: isolated Loop)
}

/// The duty to answer one request. May be carried anywhere; what it does happens on the control loop.
public struct PendingReply: Sendable {
    /// Safe to carry, since it is touched on its own loop alone, which ``callAsFunction(_:on:)`` checks.
    nonisolated(unsafe) private let session: ControlSession
    private let id: RequestID
    private let home: Loop

    init(_ session: ControlSession, id: RequestID, home: Loop) {
        self.session = session
        self.id = id
        self.home = home
    }

    /// Answers. Harmless when the client is gone.
    public func callAsFunction(_ result: Result<ControlResult, Failure>, on loop: isolated Loop) {
        precondition(loop === home, "a session belongs to its loop")
        session.answer(id, result, on: loop)
    }

    /// Answers from any thread.
    public func send(_ result: Result<ControlResult, Failure>) {
        home.submit { self(result, on: $0) }
    }
}

/// The client that waits for a tunnel after `connect`. May be carried anywhere; what it does happens on the control loop.
public struct ConnectClient: Sendable {
    /// Safe to carry, since it is touched on its own loop alone, which every method checks.
    nonisolated(unsafe) private let session: ControlSession
    private let home: Loop
    /// Whether the client wants a descriptor (``pass(_:_:on:)``) or its own socket to become the stream
    /// (``takeStream(_:on:)``).
    public let wantsDescriptor: Bool
    /// Whether the client wants to be told while it waits.
    public let wantsNotices: Bool

    init(_ session: ControlSession, home: Loop, _ parameters: ConnectParameters) {
        self.session = session
        self.home = home
        wantsDescriptor = parameters.handoff
        wantsNotices = parameters.notices
    }

    /// Tells the client something while it waits, if it wants that. Harmless when it is gone.
    public func tell(_ notice: ConnectNotice, on loop: isolated Loop) {
        precondition(loop === home, "a session belongs to its loop")
        if wantsNotices { session.tell(notice, on: loop) }
    }

    /// The tunnel could not be opened: the client is told why. Harmless when it is gone.
    public func fail(_ failure: Failure, on loop: isolated Loop) {
        precondition(loop === home, "a session belongs to its loop")
        session.connectFailed(failure, on: loop)
    }

    /// The tunnel is open and the session's socket becomes its local side: it is handed over, unregistered, and the
    /// session is over.
    ///
    /// - Returns: nil when the client is gone; the attempt is then over, and not cancelled in addition.
    public func takeStream(_ result: ConnectResult, on loop: isolated Loop) -> RawStream? {
        precondition(loop === home, "a session belongs to its loop")
        return session.giveAway(result, on: loop)
    }

    /// The tunnel is open and `descriptor` is the client's end of it: it rides on the result's line, and is closed
    /// here in any case.
    ///
    /// - Returns: false when the client is gone; the attempt is then over, and not cancelled in addition.
    @discardableResult
    public func pass(_ descriptor: FileDescriptor, _ result: ConnectResult, on loop: isolated Loop) -> Bool {
        precondition(loop === home, "a session belongs to its loop")
        return session.pass(descriptor, result, on: loop)
    }
}

/// A session's socket on its way to be a tunnel's local side.
public struct RawStream {
    /// Connected, non-blocking, registered with no loop.
    public let descriptor: FileDescriptor
    /// What must be written to the client before any byte of the remote: the result's line, and what was still unsent.
    public let first: [UInt8]
    /// The stream's first bytes, which the client sent behind `connect`; at most 64 KiB.
    public let received: [UInt8]
}
