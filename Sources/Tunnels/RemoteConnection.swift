// A byte's way, step 4 of 5: framed, masked and encrypted, or the other way round. Next: StreamSocket (5), in SocketIO.

import Failures
import InstanceConnect
import OpenSSL
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
    private enum Stage {
        case handshaking
        /// TLS is done, the signed request is not there yet.
        case secured
        case upgrading(UpgradeResponseParser)
        case open
        case closed
    }

    /// The most payload in one frame. The AWS CLI sends no larger ones, so this is what the service is known to take.
    static let largestFrame = 65_000
    private static let mostWaitingControlBytes = 4_096

    private weak var owner: (any RemoteConnectionOwner)?
    /// When the endpoint's last bytes came.
    private(set) var lastHeard = ContinuousClock.now
    /// The endpoint has answered the upgrade, if only with a byte.
    private(set) var hasAnswered = false
    private let names: RemoteNames
    private var connection: TLSConnection?
    private var stage = Stage.handshaking
    private var request: UpgradeRequest?
    private var webSocket = WebSocketStateMachine(role: .client)
    private var maskingKeys = MaskingKeySource()
    /// Control frames that wait for the bytes before them to leave.
    private var controlFrames: [UInt8] = []
    /// Nothing can be sent any more. What the endpoint sent before is still read: its last bytes, and the Close that
    /// says why, came earlier than the error that a write meets.
    private var sendFailure: Failure?

    /// Decrypted bytes: those before `decoded` were looked at; payload that the local side has not taken is
    /// `plain.start..<undelivered`, closed up.
    private var plain: Buffer?
    private var decoded = 0
    private var undelivered = 0
    private var lastPlaintext = false

    /// Begins the TLS handshake on a connected socket.
    init(
        _ descriptor: FileDescriptor, context: TLSContext, names: RemoteNames, owner: any RemoteConnectionOwner,
        on loop: isolated Loop
    ) throws(Failure) {
        self.owner = owner
        self.names = names
        do {
            let session = try TLSSession(context: context, serverName: names.host, port: names.port)
            let socket = try StreamSocket(descriptor, owner: self, on: loop)
            connection = TLSConnection(socket: socket, session: session)
        } catch let error as TLSError {
            throw Failure(.tls, "cannot start TLS with \(names.host)", why: error.reason)
        } catch let error as SystemError {
            throw Failure(.internal, "cannot watch the connection to \(names.host)", why: error.description)
        } catch {
            throw Failure(.internal, "cannot start TLS with \(names.host)", why: "\(error)")
        }
    }

    // MARK: The dial

    /// The signed request; sent as soon as TLS is done.
    func setRequest(_ request: UpgradeRequest, on loop: isolated Loop) {
        self.request = request
        if case .secured = stage { sendRequest(request, on: loop) }
    }

    /// To the endpoint, as the kernel measures it.
    var roundTrip: Duration? { connection?.socket.descriptor.roundTrip }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        switch stage {
        case .handshaking: shakeHands(on: loop)
        case .secured:
            waitForRequest(on: loop)
        case .upgrading: upgrade(on: loop)
        case .open: owner?.remoteIsReady(on: loop)
        case .closed: break
        }
    }

    private func shakeHands(on loop: isolated Loop) {
        guard let connection else { return }
        switch connection.handshake(on: loop) {
        case .blocked: break
        case .failed(let error): fail(handshakeFailure(error), on: loop)
        case .done:
            stage = .secured
            owner?.remoteReached(.upgrade, on: loop)
            if let request, case .secured = stage { sendRequest(request, on: loop) }
        }
    }

    /// Nothing may come before our request but TLS's own messages; an end of the connection is noticed here.
    private func waitForRequest(on loop: isolated Loop) {
        guard let connection else { return }
        let buffer = loop.buffers.borrow()
        let result = connection.read(into: buffer.memory, on: loop)
        loop.buffers.giveBack(buffer)
        switch result {
        case .wouldBlock: break
        case .bytes:
            fail(
                Failure(
                    .upgradeRefused, "\(names.endpoint) spoke before it was asked", why: "bytes before the upgrade"),
                on: loop)
        case .ended: fail(connectionLost("before the upgrade"), on: loop)
        case .failed(let error): fail(connectionLost("before the upgrade", error), on: loop)
        }
    }

    private func sendRequest(_ request: UpgradeRequest, on loop: isolated Loop) {
        guard let connection else { return }
        stage = .upgrading(UpgradeResponseParser(for: request))
        let sent = request.bytes.withUnsafeBytes { connection.write($0, on: loop) }
        if case .failed(let error) = sent {
            fail(connectionLost("during the upgrade", error), on: loop)
            return
        }
        if connection.mayRead { upgrade(on: loop) }
    }

    private func upgrade(on loop: isolated Loop) {
        guard let connection else { return }
        if case .failed(let error) = connection.flush(on: loop) {
            fail(connectionLost("during the upgrade", error), on: loop)
            return
        }
        let buffer = loop.buffers.borrow()
        while case .upgrading(var parser) = stage {
            let outcome: UpgradeResponseParser.Outcome
            let result = connection.read(into: buffer.memory, on: loop)
            switch result {
            case .wouldBlock:
                loop.buffers.giveBack(buffer)
                return
            case .bytes(let count):
                hasAnswered = true
                buffer.end = count
                outcome = parser.feed(UnsafeRawBufferPointer(buffer.filled))
            case .ended, .failed:
                // A refusal whose body ends with the connection is worth more than the way it ended.
                outcome = parser.endOfInput()
                if case .refused = outcome { break }
                loop.buffers.giveBack(buffer)
                var error: TransportError?
                if case .failed(let reason) = result { error = reason }
                fail(connectionLost("during the upgrade", error), on: loop)
                return
            }
            stage = .upgrading(parser)
            switch outcome {
            case .needMore: continue
            case .accepted(let head, let leftover):
                stage = .open
                // What follows the head in the same bytes is WebSocket already.
                buffer.start = leftover
                keepOrGiveBack(buffer, on: loop)
                owner?.remoteUpgraded(requestID: head.headers["x-amzn-RequestId"], on: loop)
                return
            case .refused(let head, let body):
                loop.buffers.giveBack(buffer)
                owner?.remoteRefused(head, body: body, on: loop)
                return
            case .violation(let sentence):
                loop.buffers.giveBack(buffer)
                fail(
                    Failure(
                        .upgradeRefused, "\(names.endpoint) answered the upgrade with something else", why: sentence),
                    on: loop)
                return
            }
        }
        loop.buffers.giveBack(buffer)
    }

    private func keepOrGiveBack(_ buffer: Buffer, on loop: isolated Loop) {
        if buffer.isEmpty {
            loop.buffers.giveBack(buffer)
        } else {
            plain = buffer
            decoded = buffer.start
            undelivered = buffer.start
        }
    }

    // MARK: Remote to local

    enum Delivery: Equatable {
        /// The endpoint has no more for now.
        case drained
        /// The local side takes no more for now.
        case localBlocked
        /// More may be there, but others get their turn first.
        case again
        /// The local side broke.
        case localFailed(SystemError)
        /// The connection ended or failed; the owner was told.
        case ended
    }

    /// Bytes were decrypted and not yet delivered, or may be waiting to be decrypted.
    var mayReceive: Bool { undeliveredCount > 0 || (connection?.mayRead ?? false) }

    /// Payload that the local side has not taken.
    var undeliveredCount: Int { plain.map { undelivered - $0.start } ?? 0 }

    /// Reads until a first payload is at hand, and looks no further: what comes behind it, be it an end or a violation, is
    /// for `receive`, when there is somebody to deliver to.
    func receiveFirst(on loop: isolated Loop) {
        for _ in 0..<64 {
            guard case .open = stage, undeliveredCount == 0 else { return }
            if !decodedIsBehind {
                guard connection?.mayRead ?? false else { return }
                if let result = decrypt(on: loop) {
                    _ = finishRound(result, on: loop)
                    return
                }
            }
            if decode(untilPayload: true, on: loop) == .ended { return }
            _ = finishRound(.drained, on: loop)
        }
        connection?.socket.callAgain(on: loop)
    }

    /// Reads up to `rounds` buffers of the endpoint's bytes and delivers them to `local`.
    func receive(into local: StreamSocket?, rounds: Int, count: (Int) -> Void, on loop: isolated Loop) -> Delivery {
        for _ in 0..<rounds {
            if let result = deliver(to: local, count: count, on: loop) { return result }
            guard case .open = stage else { return .ended }
            guard connection?.mayRead ?? false else { return finishRound(.drained, on: loop) }
            if let result = decrypt(on: loop) { return finishRound(result, on: loop) }
            if let result = decode(on: loop) {
                if result == .ended { return result }
                return finishRound(result, on: loop)
            }
        }
        return .again
    }

    /// Writes what is decoded. Nil when all of it is delivered.
    private func deliver(to local: StreamSocket?, count: (Int) -> Void, on loop: isolated Loop) -> Delivery? {
        if decodedIsBehind, let result = decode(on: loop) { return result }
        guard let plain, undelivered > plain.start else { return nil }
        guard let local else { return .localBlocked }
        while undelivered > plain.start {
            guard local.mayWrite else { return .localBlocked }
            let payload = UnsafeRawBufferPointer(rebasing: plain.memory[plain.start..<undelivered])
            switch local.write(payload) {
            case .wrote(let written):
                plain.start += written
                count(written)
            case .wouldBlock: return .localBlocked
            case .failed(let error): return .localFailed(error)
            }
        }
        giveBackPlain(on: loop)
        return nil
    }

    /// Leftover bytes of the upgrade have not been looked at.
    private var decodedIsBehind: Bool { plain.map { decoded < $0.end } ?? false }

    /// Fills the plaintext buffer.
    private func decrypt(on loop: isolated Loop) -> Delivery? {
        guard let connection else { return .ended }
        let buffer = plain ?? loop.buffers.borrow()
        // The places go back with the buffer: after a read that finds nothing, old ones would make payload of what stood in
        // it before, the head of the upgrade's answer for one.
        buffer.clear()
        decoded = 0
        undelivered = 0
        plain = buffer
        switch connection.read(into: buffer.memory, on: loop) {
        case .bytes(let count):
            buffer.end = count
            lastHeard = .now
            return nil
        case .wouldBlock: return .drained
        case .ended:
            fail(sendFailure ?? connectionLost("without a WebSocket close"), on: loop)
            return .ended
        case .failed(let error):
            fail(sendFailure ?? connectionLost("without a WebSocket close", error), on: loop)
            return .ended
        }
    }

    /// Takes the frames apart: payload is closed up at the front of the buffer, so that one write delivers all of it.
    private func decode(untilPayload: Bool = false, on loop: isolated Loop) -> Delivery? {
        guard let buffer = plain else { return nil }
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<buffer.end])
        while !(untilPayload && undeliveredCount > 0), let event = webSocket.next(in: bytes, at: &decoded) {
            switch event {
            case .data(let range, .binary, _):
                if range.lowerBound != undelivered, let base = bytes.baseAddress {
                    (base + undelivered).copyMemory(from: base + range.lowerBound, byteCount: range.count)
                }
                undelivered += range.count
            case .data(_, .text, _):
                sendControl(
                    webSocket.close(.unsupportedData, reason: "only binary messages", maskingKey: maskingKeys.draw()),
                    on: loop)
                fail(violation("a text message, which the tunnel's protocol does not have"), on: loop)
                return .ended
            case .ping(let payload):
                // A peer that pings without reading our answers must not fill our memory.
                if controlFrames.count < Self.mostWaitingControlBytes {
                    sendControl(webSocket.pong(for: payload, maskingKey: maskingKeys.draw()), on: loop)
                    // That can fail, and then the buffer is no longer ours.
                    guard case .open = stage else { return .ended }
                }
            case .pong:
                owner?.remotePonged(on: loop)
                guard case .open = stage else { return .ended }
            case .close(let frame):
                owner?.remoteClosed(frame, on: loop)
                sendControl(webSocket.closeReply(maskingKey: maskingKeys.draw()), on: loop)
                // Payload before the Close is still to be delivered.
                return nil
            case .violation(let error):
                sendControl(
                    webSocket.close(error.closeCode, reason: error.sentence, maskingKey: maskingKeys.draw()), on: loop)
                fail(violation(error.sentence), on: loop)
                return .ended
            }
        }
        return nil
    }

    private func finishRound(_ result: Delivery, on loop: isolated Loop) -> Delivery {
        if undeliveredCount == 0, !decodedIsBehind { giveBackPlain(on: loop) }
        return result
    }

    private func giveBackPlain(on loop: isolated Loop) {
        guard let plain, decoded >= plain.end else { return }
        loop.buffers.giveBack(plain)
        self.plain = nil
        decoded = 0
        undelivered = 0
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
        let failure = connectionLost("while sending", error)
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

    private func sendControl(_ frame: [UInt8]?, on loop: isolated Loop) {
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
        owner = nil
        connection.close(on: loop)
        self.connection = nil
    }

    /// Drops the payload that was not delivered.
    func dropUndelivered(on loop: isolated Loop) {
        if let plain { loop.buffers.giveBack(plain) }
        plain = nil
        decoded = 0
        undelivered = 0
    }

    private func fail(_ failure: Failure, on loop: isolated Loop) {
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

    func attach(on loop: isolated Loop) throws(SystemError) { try connection?.socket.attach(on: loop) }

    // MARK: Sentences

    private func handshakeFailure(_ error: TransportError) -> Failure {
        switch error {
        case .socket: connectionLost("during the TLS handshake", error)
        case .tls(let tls) where tls.code == .truncated: connectionLost("during the TLS handshake", error)
        case .tls(let tls):
            Failure(
                .tls, "TLS with \(names.host) failed", why: tls.reason,
                hint: tls.code == .certificate
                    ? "is a proxy in between? name its certificates with AWS_CA_BUNDLE" : nil)
        }
    }

    private func connectionLost(_ when: String, _ error: TransportError? = nil) -> Failure {
        Failure(
            .connectionLost, "\(names.endpoint) ended the connection \(when)", why: error?.reason ?? "end of file")
    }

    private func violation(_ sentence: String) -> Failure {
        Failure(.webSocket, "\(names.endpoint) broke the WebSocket protocol", why: sentence)
    }
}

/// What a connection is called in its sentences.
struct RemoteNames {
    /// The TLS server name, which the certificate must carry.
    var host: String
    var port: UInt16
    /// "eice-0123".
    var endpoint: String
}

extension RemoteNames {
    init(_ endpoint: Endpoint) {
        self.init(host: endpoint.dnsName, port: endpoint.port, endpoint: endpoint.id)
    }
}
