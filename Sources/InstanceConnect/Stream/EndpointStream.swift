// A byte's way, step 4 of 5: framed, masked and encrypted, or the other way round (EndpointStreamReceive). Next:
// StreamSocket (5), in SocketIO.

import Basics
import Failures
import OpenSSL
import SecureSocket
import SocketIO
import Transport
import WebSocket

/// Receives the reports of an ``EndpointStream`` until it is open.
protocol EndpointStreamOpener: AnyObject {
    /// TLS is done: a request can be sent.
    func streamIsSecured(on loop: isolated Loop)
    func streamIsUpgraded(requestID: String?, on loop: isolated Loop)
    /// The connection failed.
    func streamFailed(_ failure: Failure, on loop: isolated Loop)
    /// The endpoint answered the upgrade with another status than 101.
    func streamWasRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop)
}

/// The connection to the endpoint from the dial on: socket, TLS, upgrade, WebSocket.
///
/// An open connection does nothing by itself. The tunnel calls `fill` when the client can take bytes, and `send` when
/// the client has some: that is the backpressure. `end` says how the endpoint's bytes ended. Confined to the loop of
/// its socket.
final class EndpointStream: RemoteStream, StreamSocketOwner {
    enum Stage {
        case handshaking
        /// TLS is done, the signed request is not there yet.
        case secured
        case upgrading(UpgradeResponseParser)
        case open
        case closed
    }

    /// What an open stream needs to say how it ended.
    private struct Tunnel {
        let route: Route
        let redaction: Redaction
        let pings: PingKnowledge
    }

    var headroom: Int { FrameHeader.maximumLength }
    /// The AWS CLI sends no larger frames, so this is what the service is known to take.
    var largestPayload: Int { 65_000 }
    static let mostWaitingControlBytes = 4_096

    weak var owner: (any RemoteStreamOwner)?
    /// Until it is open.
    weak var opener: (any EndpointStreamOpener)?
    private var tunnel: Tunnel?
    private var hasAnsweredPing = false
    /// Where the handshake is done if it is one of several; nil for on the loop.
    let handshakes: Handshakes?
    /// As long as the handshake lasts.
    var handshake: Handshakes.Mark?
    /// When the endpoint's last bytes came.
    var lastHeard = ContinuousClock.now
    /// Set as soon as the end is known; `payload` may still hold bytes from before it.
    private(set) var end: RemoteEnd?
    /// The connection can neither send nor receive any more.
    private var isBroken = false
    /// The endpoint has answered the upgrade, if only with a byte.
    var hasAnswered = false
    let endpoint: EndpointName
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
    /// Payload in `plain` that is not consumed yet.
    var received = PayloadRun()

    /// Begins the TLS handshake on a connection that leads to the endpoint.
    init(
        _ path: HostPath, context: TLSContext, endpoint: EndpointName, handshakes: Handshakes?,
        opener: any EndpointStreamOpener, on loop: isolated Loop
    ) throws(Failure) {
        self.handshakes = handshakes
        handshake = handshakes?.begin()
        self.opener = opener
        self.endpoint = endpoint
        let host = endpoint.host
        do {
            let session = try TLSSession(context: context, serverName: host.host, port: host.port)
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
            throw Failure(.tls, "cannot start TLS with \(host.host)", why: error.reason)
        } catch let error as SystemError {
            throw Failure(.internal, "cannot watch the connection to \(host.host)", why: error.description)
        } catch {
            throw Failure(.internal, "cannot start TLS with \(host.host)", why: "\(error)")
        }
    }

    // MARK: Local to remote

    /// Whether `send` may be called: the frames before have left, and no Close is on its way.
    var maySend: Bool {
        guard case .open = stage, let connection, sendFailure == nil, !isBroken else { return false }
        return connection.mayWrite && controlFrames.isEmpty && webSocket.maySendData
    }

    /// Sends one frame. `buffer` holds the payload at `buffer.start..<buffer.end`, at most ``largestPayload`` bytes
    /// with ``headroom`` before them; it is masked in place.
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
        let failure = endpoint.connectionLost("while sending", error)
        switch error {
        case .tls: fail(failure, on: loop)
        case .socket:
            sendFailure = failure
            controlFrames = []
            connection?.abandonOutgoing(on: loop)
        }
        // The tunnel finds the end by reading. No edge may come for that any more.
        callAgain(on: loop)
    }

    /// WebSocket has no half-close: a Close ends both directions (RFC 6455, section 7.1.4).
    var canHalfClose: Bool { false }
    func finishSending(on loop: isolated Loop) {}

    /// The upgrade is done: from here on it is a tunnel's stream.
    ///
    /// - Parameters:
    ///   - redaction: hides the secrets of the requests that opened it.
    ///   - pings: keeps which endpoints answer pings.
    func opened(to route: Route, hiding redaction: Redaction, _ pings: PingKnowledge) {
        tunnel = Tunnel(route: route, redaction: redaction, pings: pings)
        opener = nil
    }

    /// Whether this endpoint has answered a ping, on this stream or one before it.
    var answersProbes: Bool { hasAnsweredPing || tunnel?.pings.answers(endpoint.gateway) == true }

    func ponged(on loop: isolated Loop) {
        hasAnsweredPing = true
        tunnel?.pings.note(endpoint.gateway)
        owner?.streamAnswered(on: loop)
    }

    /// Asks whether the endpoint is alive (RFC 6455, section 5.5.2).
    func probe(on loop: isolated Loop) { sendControl(webSocket.ping(maskingKey: maskingKeys.draw()), on: loop) }

    /// To the endpoint, as the kernel measures it.
    var roundTrip: Duration? { connection?.socket.descriptor.roundTrip }

    /// Starts the close handshake. Call `fill` and drop the payload until `isOver`.
    func sayGoodbye(_ goodbye: Goodbye, on loop: isolated Loop) {
        let code: CloseCode =
            switch goodbye {
            case .normal: .normal
            case .goingAway: .goingAway
            }
        sendControl(webSocket.close(code, maskingKey: maskingKeys.draw()), on: loop)
        // Payload that the client did not take yet may lie before the endpoint's Close.
        callAgain(on: loop)
    }

    /// Has the tunnel called again in the loop's next turn.
    func callAgain(on loop: isolated Loop) { connection?.socket.callAgain(on: loop) }

    /// The connection broke, or both Close frames were sent. The tunnel does not wait for the endpoint's end of file,
    /// which comes last (RFC 6455, section 7.1.1).
    var isOver: Bool { isBroken || webSocket.isClosed && controlFrames.isEmpty && (connection?.mayWrite ?? true) }

    func sendControl(_ frame: [UInt8]?, on loop: isolated Loop) {
        guard let frame, sendFailure == nil else { return }
        controlFrames += frame
        flush(on: loop)
    }

    // MARK: Ends

    /// The endpoint sent its Close.
    func endpointClosed(_ frame: CloseFrame) {
        guard let tunnel else { return }
        let close = EndpointClose(code: frame.code?.rawValue, reason: frame.reason, redaction: tunnel.redaction)
        ended(close.failure(route: tunnel.route).map(RemoteEnd.failed) ?? .finished)
    }

    /// Closes the socket, after a close_notify if TLS is up. The owner hears nothing more. `payload` stays until it is
    /// consumed.
    func close(on loop: isolated Loop) {
        guard let connection else { return }
        switch stage {
        case .open, .upgrading, .secured: connection.sendCloseNotify(on: loop)
        case .handshaking, .closed: break
        }
        stage = .closed
        handshake = nil
        owner = nil
        opener = nil
        connection.close(on: loop)
        self.connection = nil
        if let plain { decoded = plain.end }
        giveBackEmptyBuffer(on: loop)
    }

    func fail(_ failure: Failure, on loop: isolated Loop) {
        switch stage {
        case .handshaking, .secured, .upgrading: opener?.streamFailed(failure, on: loop)
        case .open:
            isBroken = true
            ended(.failed(tunnel?.redaction.failure(failure) ?? failure))
        case .closed: break
        }
    }

    /// Ignores bytes that follow the end, even if they are here already.
    private func ended(_ end: RemoteEnd) {
        if self.end == nil { self.end = end }
        if let plain { decoded = plain.end }
    }

    // MARK: Moving

    /// Leaves its loop, for `attach` on another.
    func detach(on loop: isolated Loop) { connection?.socket.detach(on: loop) }

    func attach(on loop: isolated Loop) throws(SystemError) {
        try connection?.socket.attach(on: loop)
        // The loop that it left was to tell when what OpenSSL holds for traffic is to go; there may be no traffic here.
        connection?.socket.tellWhenQuiet(on: loop)
    }
}
