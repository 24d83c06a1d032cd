import Failures
import SocketIO
import WebSocket

// A byte's way, step 4 of 5, from the endpoint: decrypted and taken out of its frames. The pump writes it.

extension EndpointStream {
    /// Payload that is not consumed yet: of one or more frames, joined. Valid until the next `consume` or `fill`.
    var payload: UnsafeRawBufferPointer {
        guard let plain, !received.isEmpty else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: plain.memory[received.range])
    }

    /// Drops the first `count` bytes of `payload`.
    func consume(_ count: Int, on loop: isolated Loop) {
        received.consume(count)
        giveBackEmptyBuffer(on: loop)
    }

    /// Whether `fill` may find something.
    var mayFill: Bool {
        guard case .open = stage, let connection, !isOver else { return false }
        return isBehind || connection.mayRead
    }

    /// Receives at most one buffer and sets `payload` and `end`. Consume all payload before.
    ///
    /// - Returns: false if the endpoint has sent nothing more so far.
    func fill(on loop: isolated Loop) -> Bool {
        defer { giveBackEmptyBuffer(on: loop) }
        if !isBehind {
            guard let connection else { return false }
            let buffer = plain ?? loop.buffers.borrow()
            // The places go back with the buffer: after a read that finds nothing, old ones would make payload of what
            // stood in it before, the head of the upgrade's answer for one.
            buffer.clear()
            decoded = 0
            received = PayloadRun()
            plain = buffer
            switch connection.read(into: buffer.memory, on: loop) {
            case .bytes(let count):
                buffer.end = count
                lastHeard = loop.now
            case .wouldBlock: return false
            case .ended:
                fail(sendFailure ?? endpoint.connectionLost("without a WebSocket close"), on: loop)
                return true
            case .failed(let error):
                fail(sendFailure ?? endpoint.connectionLost("without a WebSocket close", error), on: loop)
                return true
            }
        }
        if let plain { decode(UnsafeMutableRawBufferPointer(rebasing: plain.memory[..<plain.end]), on: loop) }
        return true
    }

    /// The upgrade left bytes that are not decoded yet.
    private var isBehind: Bool { plain.map { decoded < $0.end } ?? false }

    /// Takes the frames apart: their payload is joined, so that one write delivers all of it.
    private func decode(_ bytes: UnsafeMutableRawBufferPointer, on loop: isolated Loop) {
        while let event = webSocket.next(in: bytes, at: &decoded) {
            switch event {
            case .data(let range, .binary, _): received.join(range, in: bytes)
            case .data(_, .text, _):
                fail(endpoint.violation("a text message, which the tunnel's protocol does not have"), on: loop)
                sendControl(
                    webSocket.close(.unsupportedData, reason: "only binary messages", maskingKey: maskingKeys.draw()),
                    on: loop)
            case .ping(let payload):
                // A peer that pings without reading our answers must not fill our memory.
                if controlFrames.count < Self.mostWaitingControlBytes {
                    sendControl(webSocket.pong(for: payload, maskingKey: maskingKeys.draw()), on: loop)
                }
            case .pong: ponged(on: loop)
            case .close(let frame):
                endpointClosed(frame)
                sendControl(webSocket.closeReply(maskingKey: maskingKeys.draw()), on: loop)
            case .violation(let error):
                fail(endpoint.violation(error.sentence), on: loop)
                sendControl(
                    webSocket.close(error.closeCode, reason: error.sentence, maskingKey: maskingKeys.draw()), on: loop)
            }
        }
    }

    func giveBackEmptyBuffer(on loop: isolated Loop) {
        guard let plain, received.isEmpty, decoded >= plain.end else { return }
        loop.buffers.giveBack(plain)
        self.plain = nil
        decoded = 0
        received = PayloadRun()
    }
}
