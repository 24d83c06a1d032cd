import Failures
import SocketIO
import WebSocket

// A byte's way, step 4 of 5, from the endpoint: decrypted, taken out of its frame, written to the local side.

extension RemoteConnection {
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

    /// Payload that the local side has not taken.
    var undeliveredCount: Int { undelivered.count }

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
        var rounds = rounds
        while true {
            if let result = deliver(to: local, count: count, on: loop) { return result }
            guard case .open = stage else { return .ended }
            guard connection?.mayRead ?? false else { return finishRound(.drained, on: loop) }
            guard rounds > 0 else { return .again }
            rounds -= 1
            if let result = decrypt(on: loop) { return finishRound(result, on: loop) }
            if let result = decode(on: loop) {
                if result == .ended { return result }
                return finishRound(result, on: loop)
            }
        }
    }

    /// Writes what is decoded. Nil when all of it is delivered.
    private func deliver(to local: StreamSocket?, count: (Int) -> Void, on loop: isolated Loop) -> Delivery? {
        if decodedIsBehind, let result = decode(on: loop) { return result }
        guard let plain, !undelivered.isEmpty else { return nil }
        guard let local else { return .localBlocked }
        while !undelivered.isEmpty {
            guard local.mayWrite else { return .localBlocked }
            let payload = UnsafeRawBufferPointer(rebasing: plain.memory[undelivered.range])
            switch local.write(payload) {
            case .wrote(let written):
                undelivered.consume(written)
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
        undelivered = PayloadRun()
        plain = buffer
        switch connection.read(into: buffer.memory, on: loop) {
        case .bytes(let count):
            buffer.end = count
            lastHeard = loop.now
            return nil
        case .wouldBlock: return .drained
        case .ended:
            fail(sendFailure ?? names.connectionLost("without a WebSocket close"), on: loop)
            return .ended
        case .failed(let error):
            fail(sendFailure ?? names.connectionLost("without a WebSocket close", error), on: loop)
            return .ended
        }
    }

    /// Takes the frames apart: their payload is joined, so that one write delivers all of it.
    private func decode(untilPayload: Bool = false, on loop: isolated Loop) -> Delivery? {
        guard let buffer = plain else { return nil }
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<buffer.end])
        while !(untilPayload && undeliveredCount > 0), let event = webSocket.next(in: bytes, at: &decoded) {
            switch event {
            case .data(let range, .binary, _): undelivered.join(range, in: bytes)
            case .data(_, .text, _):
                sendControl(
                    webSocket.close(.unsupportedData, reason: "only binary messages", maskingKey: maskingKeys.draw()),
                    on: loop)
                fail(names.violation("a text message, which the tunnel's protocol does not have"), on: loop)
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
                fail(names.violation(error.sentence), on: loop)
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
        undelivered = PayloadRun()
    }
}
