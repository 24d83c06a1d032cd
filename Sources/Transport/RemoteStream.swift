import Failures
import SocketIO

/// An open connection to a target, as the pump uses it. Confined to one loop at a time.
///
/// It does nothing by itself. The pump calls `fill` when the client can take bytes, and `send` when the client has some:
/// that is the backpressure. `end` says how the target's bytes ended.
public protocol RemoteStream: AnyObject {
    /// Not retained.
    var owner: (any RemoteStreamOwner)? { get set }

    // MARK: To the target

    /// Bytes that `send` needs before the payload.
    var headroom: Int { get }
    /// The most payload in one `send`.
    var largestPayload: Int { get }
    /// Whether `send` may be called.
    var maySend: Bool { get }
    /// Sends the payload at `buffer.start..<buffer.end`, at most ``largestPayload`` bytes with ``headroom`` bytes before
    /// them, and overwrites it.
    func send(_ buffer: Buffer, on loop: isolated Loop)
    /// Sends what waits. Call it when the socket may be written again.
    func flush(on loop: isolated Loop)
    /// Whether the target can learn that the client sends no more, while it may still send itself.
    var canHalfClose: Bool { get }
    /// Tells the target that the client sends no more. Only where ``canHalfClose`` is true.
    func finishSending(on loop: isolated Loop)

    // MARK: From the target

    /// Bytes that are not consumed yet. Valid until the next `consume` or `fill`.
    var payload: UnsafeRawBufferPointer { get }
    /// Drops the first `count` bytes of `payload`.
    func consume(_ count: Int, on loop: isolated Loop)
    /// Whether `fill` may find something.
    var mayFill: Bool { get }
    /// Receives at most one buffer and sets `payload` and `end`. Consume all payload before.
    ///
    /// - Returns: false if the target has sent nothing more so far.
    func fill(on loop: isolated Loop) -> Bool
    /// Set as soon as the end is known; `payload` may still hold bytes from before it.
    var end: RemoteEnd? { get }

    // MARK: Its state

    /// Asks the gateway whether it is alive; an answer is reported by ``RemoteStreamOwner/streamAnswered(on:)``.
    func probe(on loop: isolated Loop)
    /// Whether silence after a probe means that the path is dead.
    var answersProbes: Bool { get }
    /// When the gateway's last bytes came.
    var lastHeard: ContinuousClock.Instant { get }
    /// The round trip to the gateway, as the kernel measures it.
    var roundTrip: Duration? { get }

    // MARK: Its end

    /// Begins an orderly end. Call `fill` and drop the payload until `isOver`.
    func sayGoodbye(_ goodbye: Goodbye, on loop: isolated Loop)
    /// The connection broke, or its orderly end is complete.
    var isOver: Bool { get }
    /// Closes it. The owner hears nothing more. `payload` stays until it is consumed.
    func close(on loop: isolated Loop)

    // MARK: Its loop

    /// Has the owner called again in the loop's next turn.
    func callAgain(on loop: isolated Loop)
    /// Leaves its loop, for `attach` on another.
    func detach(on loop: isolated Loop)
    func attach(on loop: isolated Loop) throws(SystemError)
}

/// The tunnel of a stream.
public protocol RemoteStreamOwner: AnyObject {
    /// The stream has received bytes, ended, or can send again.
    func streamIsReady(on loop: isolated Loop)
    /// The gateway answered a probe.
    func streamAnswered(on loop: isolated Loop)
}

/// How the target's bytes ended.
public enum RemoteEnd {
    /// The target closed.
    case finished
    /// The connection broke, broke a rule, or the gateway says that something failed.
    case failed(Failure)
}

/// Why we end a stream.
public enum Goodbye: Sendable { case normal, goingAway }
