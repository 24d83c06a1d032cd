// A byte's way, step 4 of 5: framed, masked and encrypted, or the other way round (RemoteReceive). Next: StreamSocket (5), in
// SocketIO.

import Failures
import InstanceConnect
import OpenSSL
import SecureSocket
import SocketIO
import WebSocket

/// What a ``RemoteConnection`` tells its tunnel.
protocol RemoteConnectionOwner: AnyObject {
    func remoteReached(_ phase: DialPhase, on loop: isolated Loop)
    func remoteUpgraded(requestID: String?, on loop: isolated Loop)
    /// Bytes came, or can be sent again.
    func remoteIsReady(on loop: isolated Loop)
    /// The dial failed, or the connection broke or broke a rule.
    func remoteFailed(_ failure: Failure, on loop: isolated Loop)
    /// The endpoint answered the upgrade with another status than 101.
    func remoteRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop)
    /// The endpoint answered a ping.
    func remotePonged(on loop: isolated Loop)
    /// The endpoint sent its Close.
    func remoteClosed(_ close: CloseFrame, on loop: isolated Loop)
    /// The close handshake is over, or the socket is at its end: nothing more comes or goes.
    func remoteGone(on loop: isolated Loop)
}

/// The connection to the endpoint from the dial on: socket, TLS, upgrade, WebSocket.
///
/// It pulls nothing by itself once it is open: the tunnel calls `receive` when the local side can take bytes and
/// `send` when the local side has some, and that is the backpressure. Confined to the loop of its socket.
final class RemoteConnection: StreamSocketOwner {
    enum Stage {
        case handshaking
        /// TLS is done, the signed request is not there yet.
        case secured
        case upgrading(UpgradeResponseParser)
        case open
        case closed
    }

    /// The most payload in one frame. The AWS CLI sends no larger ones, so this is what the service is known to take.
    static let largestFrame = 65_000
    static let mostWaitingControlBytes = 4_096

    weak var owner: (any RemoteConnectionOwner)?
    /// Where the handshake is done if it is one of several; nil for on the loop.
    let handshakes: Handshakes?
    /// As long as the handshake lasts.
    var handshake: Handshakes.Mark?
    /// When the endpoint's last bytes came.
    var lastHeard = ContinuousClock.now
    /// The endpoint has answered the upgrade, if only with a byte.
    var hasAnswered = false
    let names: RemoteNames
    var connection: TLSConnection?
    var stage = Stage.handshaking
    var request: UpgradeRequest?
    var webSocket = WebSocketStateMachine(role: .client)
    var maskingKeys = MaskingKeySource()
    /// Control frames that wait for the bytes before them to leave.
    private(set) var controlFrames: [UInt8] = []
    /// Nothing can be sent any more. What the endpoint sent before is still read: its last bytes, and the Close that
    /// says why, came earlier than the error that a write meets.
    private(set) var sendFailure: Failure?

    /// Decrypted bytes: those before `decoded` were looked at.
    var plain: Buffer?
    var decoded = 0
    /// Payload in `plain` that the local side has not taken.
    var undelivered = PayloadRun()

    /// Begins the TLS handshake on a connection that leads to the endpoint.
    init(
        _ path: HostPath, context: TLSContext, names: RemoteNames, handshakes: Handshakes?,
        owner: any RemoteConnectionOwner, on loop: isolated Loop
    ) throws(Failure) {
        self.handshakes = handshakes
        handshake = handshakes?.begin()
        self.owner = owner
        self.names = names
        do {
            let session = try TLSSession(context: context, serverName: names.host, port: names.port)
            switch path {
            case .socket(let descriptor):
                let socket = try StreamSocket(descriptor, owner: self, on: loop)
                connection = TLSConnection(over: .socket(socket), session: session)
            case .proxy(let outer):
                outer.socket.give(to: self)
                connection = TLSConnection(over: .proxy(outer), session: session)
                // What the socket had to tell was told to its owner before us.
                outer.socket.callAgain(on: loop)
            }
        } catch let error as TLSError {
            throw Failure(.tls, "cannot start TLS with \(names.host)", why: error.reason)
        } catch let error as SystemError {
            throw Failure(.internal, "cannot watch the connection to \(names.host)", why: error.description)
        } catch {
            throw Failure(.internal, "cannot start TLS with \(names.host)", why: "\(error)")
        }
    }

    // MARK: Local to remote

    /// Whether `send` may be called: the frames before have left, and no Close is on its way.
    var maySend: Bool {
        guard case .open = stage, let connection, sendFailure == nil else { return false }
        return connection.mayWrite && controlFrames.isEmpty && webSocket.maySendData
    }

    /// Sends one frame. `buffer` holds the payload at `buffer.start..<buffer.end`, with room for the header before it; it
    /// is masked in place.
    func send(_ buffer: Buffer, on loop: isolated Loop) {
        guard let connection else { return }
        let frame = FrameEncoder.enclose(
            payload: buffer.start..<buffer.end, in: buffer.memory, opcode: .binary, maskingKey: maskingKeys.draw())
        let sent = connection.write(UnsafeRawBufferPointer(rebasing: buffer.memory[frame]), on: loop)
        if case .failed(let error) = sent { sendingFailed(error, on: loop) }
    }

    /// Sends what waits: ciphertext, then control frames. To be called when the socket may be written again.
    func flush(on loop: isolated Loop) {
        guard let connection, sendFailure == nil else { return }
        var result = connection.flush(on: loop)
        if result == .done, !controlFrames.isEmpty {
            let frames = controlFrames
            controlFrames = []
            result = frames.withUnsafeBytes { connection.write($0, on: loop) }
        }
        if case .failed(let error) = result { sendingFailed(error, on: loop) }
    }

    private func sendingFailed(_ error: TransportError, on loop: isolated Loop) {
        let failure = names.connectionLost("while sending", error)
        guard case .socket = error, let connection else {
            fail(failure, on: loop)
            return
        }
        sendFailure = failure
        controlFrames = []
        connection.abandonOutgoing(on: loop)
        // The connection is dead, so reading comes to its end; but the edge for that may be behind us.
        connection.socket.callAgain(on: loop)
    }

    /// Asks whether the endpoint is alive (RFC 6455, section 5.5.2).
    func ping(on loop: isolated Loop) { sendControl(webSocket.ping(maskingKey: maskingKeys.draw()), on: loop) }

    /// Starts the close handshake.
    func sendClose(code: UInt16, reason: String, on loop: isolated Loop) {
        sendControl(
            webSocket.close(CloseCode(rawValue: code), reason: reason, maskingKey: maskingKeys.draw()), on: loop)
        // What was left unread for the local side's sake is in the way of the answer.
        callAgain(on: loop)
    }

    /// Has the tunnel called again in the loop's next turn.
    func callAgain(on loop: isolated Loop) { connection?.socket.callAgain(on: loop) }

    /// After the close handshake began nothing is delivered any more: reads and drops, until the endpoint ends.
    func discard(on loop: isolated Loop) {
        guard case .open = stage, let connection else { return }
        let buffer = loop.buffers.borrow()
        defer { loop.buffers.giveBack(buffer) }
        for _ in 0..<64 {
            switch connection.read(into: buffer.memory, on: loop) {
            case .bytes(let count):
                var offset = 0
                let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<count])
                while let event = webSocket.next(in: bytes, at: &offset) {
                    guard case .close = event else { continue }
                    sendControl(webSocket.closeReply(maskingKey: maskingKeys.draw()), on: loop)
                }
                if webSocket.isClosed || !webSocket.mayReceive { finish(on: loop) }
                guard case .open = stage else { return }
            case .wouldBlock: return
            case .ended, .failed:
                finish(on: loop)
                return
            }
        }
        connection.socket.callAgain(on: loop)
    }

    /// The close handshake is complete on our side; what remains is the endpoint's end of file (RFC 6455, section
    /// 7.1.1), which nobody needs to wait for once both Close frames are through.
    private func finish(on loop: isolated Loop) {
        guard case .open = stage else { return }
        owner?.remoteGone(on: loop)
    }

    /// Both Close frames are on their way.
    var isClosed: Bool { webSocket.isClosed && controlFrames.isEmpty && (connection?.mayWrite ?? true) }

    func sendControl(_ frame: [UInt8]?, on loop: isolated Loop) {
        guard let frame, sendFailure == nil else { return }
        controlFrames += frame
        flush(on: loop)
    }

    // MARK: Ends

    /// Closes the socket; with a goodbye where TLS is up. Nothing is told to the owner after this. Payload that was
    /// received stays, and `receive` delivers it.
    func close(on loop: isolated Loop) {
        guard let connection else { return }
        switch stage {
        case .open, .upgrading, .secured: connection.sendCloseNotify(on: loop)
        case .handshaking, .closed: break
        }
        stage = .closed
        handshake = nil
        owner = nil
        connection.close(on: loop)
        self.connection = nil
    }

    /// Drops the payload that was not delivered.
    func dropUndelivered(on loop: isolated Loop) {
        if let plain { loop.buffers.giveBack(plain) }
        plain = nil
        decoded = 0
        undelivered = PayloadRun()
    }

    func fail(_ failure: Failure, on loop: isolated Loop) {
        if case .closed = stage { return }
        // Nothing after the failure counts, even where it is here already.
        if let plain { decoded = plain.end }
        owner?.remoteFailed(failure, on: loop)
    }

    // MARK: Moving

    /// A spare gets the tunnel that it is for.
    func give(to owner: any RemoteConnectionOwner) { self.owner = owner }

    /// Leaves its loop, for `attach` on another.
    func detach(on loop: isolated Loop) { connection?.socket.detach(on: loop) }

    func attach(on loop: isolated Loop) throws(SystemError) {
        try connection?.socket.attach(on: loop)
        // The loop that it left was to tell when what OpenSSL holds for traffic is to go; there may be no traffic here.
        connection?.socket.tellWhenQuiet(on: loop)
    }
}
