import Failures
import OpenSSL
import SecureSocket
import SocketIO
import WebSocket

// A remote connection's way to an open WebSocket: TLS handshake, signed request, answer.

extension EndpointStream {
    /// The signed request; sent as soon as TLS is done.
    func setRequest(_ request: UpgradeRequest, on loop: isolated Loop) {
        self.request = request
        if case .secured = stage { sendRequest(request, on: loop) }
    }

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        switch stage {
        case .handshaking: shakeHands(on: loop)
        case .secured:
            waitForRequest(on: loop)
        case .upgrading: upgrade(on: loop)
        case .open: owner?.streamIsReady(on: loop)
        case .closed: break
        }
    }

    func isQuiet(_ socket: StreamSocket, on loop: isolated Loop) { connection?.rest() }

    private func shakeHands(on loop: isolated Loop) {
        // What came while it is away is looked at when it is back.
        guard let connection, !connection.isAway else { return }
        guard let handshakes, handshake?.isOneOfSeveral == true else {
            handsShaken(connection.handshake(on: loop), on: loop)
            return
        }
        connection.handshake(by: handshakes, on: loop) { [weak self] in self?.handsShaken($0, on: loop) }
    }

    private func handsShaken(_ result: TLSConnection.FlushResult, on loop: isolated Loop) {
        switch result {
        case .blocked: break
        case .failed(let error): fail(endpoint.handshakeFailure(error), on: loop)
        case .done:
            handshake = nil
            stage = .secured
            opener?.streamIsSecured(on: loop)
            if let request, case .secured = stage { sendRequest(request, on: loop) }
            // An end that came with the handshake's last bytes, or while they were computed, has no edge of its own any more.
            if case .secured = stage, let connection, connection.mayRead { connection.socket.callAgain(on: loop) }
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
                    .upgradeRefused, "\(endpoint.id) spoke before it was asked", why: "bytes before the upgrade"),
                on: loop)
        case .ended: fail(endpoint.connectionLost("before the upgrade"), on: loop)
        case .failed(let error): fail(endpoint.connectionLost("before the upgrade", error), on: loop)
        }
    }

    private func sendRequest(_ request: UpgradeRequest, on loop: isolated Loop) {
        guard let connection else { return }
        stage = .upgrading(UpgradeResponseParser(for: request))
        // Secret, and of no use any more.
        self.request = nil
        let sent = request.bytes.withUnsafeBytes { connection.write($0, on: loop) }
        if case .failed(let error) = sent {
            fail(endpoint.connectionLost("during the upgrade", error), on: loop)
            return
        }
        if connection.mayRead { upgrade(on: loop) }
    }

    private func upgrade(on loop: isolated Loop) {
        guard let connection else { return }
        if case .failed(let error) = connection.flush(on: loop) {
            fail(endpoint.connectionLost("during the upgrade", error), on: loop)
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
                fail(endpoint.connectionLost("during the upgrade", error), on: loop)
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
                opener?.streamIsUpgraded(requestID: head.headers["x-amzn-RequestId"], on: loop)
                return
            case .refused(let head, let body):
                loop.buffers.giveBack(buffer)
                opener?.streamWasRefused(head, body: body, on: loop)
                return
            case .violation(let sentence):
                loop.buffers.giveBack(buffer)
                fail(
                    Failure(
                        .upgradeRefused, "\(endpoint.id) answered the upgrade with something else", why: sentence),
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
        }
    }
}
