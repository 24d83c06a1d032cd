import Failures
import SocketIO

/// A connection that is being opened. Confined to the control loop.
public protocol Dial: AnyObject {
    /// What the present phase waits for, if more is known than its name.
    var awaited: AwaitedPart? { get }
    /// The present phase has exceeded its limit. Returns whether the dial continues by another way, for example because a
    /// connection that was kept ready has died silently; otherwise it has failed.
    func phaseTimedOut(on loop: isolated Loop) -> Bool
    /// Gives the dial up. No report comes after this.
    func cancel(on loop: isolated Loop)
}

/// What a dial needs beside its route.
public struct DialOptions: Sendable {
    /// What was resolved.
    public var request: RouteRequest
    /// The life that is asked for, within the transport's limit.
    public var maxDuration: Duration
    /// "t42", for the log.
    public var tunnel: String
    /// ``ResolvedRoute/preparation`` of the look-up before.
    public var preparation: (any Sendable)?
    /// Gives the dial's slot back; for a connection that keeps it (``OpenedStream/keepsSlot``). From any thread. Nil if the
    /// dial has no slot, because it joins a connection that is open already (``Transport/carries(_:on:)``).
    public var releaseSlot: (@Sendable () -> Void)?

    public init(
        request: RouteRequest, maxDuration: Duration, tunnel: String, preparation: (any Sendable)? = nil,
        releaseSlot: (@Sendable () -> Void)? = nil
    ) {
        self.releaseSlot = releaseSlot
        self.request = request
        self.maxDuration = maxDuration
        self.tunnel = tunnel
        self.preparation = preparation
    }
}

/// A part of a dial; a failure names the one that it happened in.
public struct DialPhase: Hashable, Sendable {
    /// A stable word, for metrics.
    public let id: String
    /// "timed out during …".
    public let name: String
    public let limit: Duration

    public init(id: String, name: String, limit: Duration) {
        self.id = id
        self.name = name
        self.limit = limit
    }
}

/// A report of a dial.
public enum DialEvent {
    case reached(DialPhase)
    /// The service has answered the request, under this id, which its own log has as well.
    case answered(serviceID: String?)
    case opened(OpenedStream)
    case refused(DialRefusal)
}

/// A stream that a dial has opened.
public struct OpenedStream {
    public let stream: any RemoteStream
    /// When the service began to count the tunnel's life.
    public let began: ContinuousClock.Instant
    /// The connection below carries other tunnels as well: it keeps the dial's slot, and gives it back by
    /// ``DialOptions/releaseSlot`` when it ends.
    public let keepsSlot: Bool

    public init(_ stream: any RemoteStream, began: ContinuousClock.Instant, keepsSlot: Bool = false) {
        self.keepsSlot = keepsSlot
        self.stream = stream
        self.began = began
    }
}

/// Why a dial ended without a stream, as far as that decides what the tunnel does next.
public enum DialRefusal {
    /// The gateway has no room: try again when another slot is free.
    case full(Failure)
    /// A user must log in first.
    case needsLogin(Failure)
    /// The gateway was not reached, did not answer or says that it fails: another path may do better.
    case gatewayFailed(Failure)
    case failed(Failure)
}
