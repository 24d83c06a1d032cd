import Glibc
import SecureSocket
import SocketIO
import WebSocket

/// The two directions of an open tunnel. Each is read only while the other side can take it.
extension TunnelConnection {
    /// Rounds of up to 64 KiB before other connections of the loop get their turn.
    private static let roundsPerTurn = 8

    func relay(on loop: isolated Loop) {
        let upIsBusy = relayFromClient(on: loop)
        guard phase == .open || phase == .closing else { return }
        let downIsBusy = relayToClient(on: loop)
        guard phase == .open || phase == .closing else { return }
        // Nothing more is understood of a client that broke a rule, its Close included.
        let isThrough = webSocket.isClosed || webSocket.violation != nil
        if phase == .closing, isThrough, pending.isEmpty, flush(on: loop) {
            // The server ends the connection (RFC 6455, section 7.1.1).
            end(with: .closeNotify, on: loop)
            return
        }
        if upIsBusy || downIsBusy { client.callAgain(on: loop) }
    }

    // MARK: From the client

    /// - Returns: whether it stopped although more could be done.
    private func relayFromClient(on loop: isolated Loop) -> Bool {
        for _ in 0..<Self.roundsPerTurn {
            guard deliver(on: loop), webSocket.mayReceive else { return false }
            let buffer = plainIn ?? loop.buffers.borrow()
            buffer.clear()
            plainIn = buffer
            switch decrypt(into: buffer, on: loop) {
            case .none: return false
            case .ended:
                // Without a Close frame: the client is gone.
                finish(on: loop)
                return false
            case .some: take(buffer, on: loop)
            }
            guard phase == .open || phase == .closing else { return false }
        }
        return true
    }

    /// Frames that came with the request.
    func takeEarly(_ bytes: [UInt8], on loop: isolated Loop) {
        let buffer = loop.buffers.borrow()
        buffer.memory.copyBytes(from: bytes.prefix(buffer.memory.count))
        buffer.end = min(bytes.count, buffer.memory.count)
        plainIn = buffer
        take(buffer, on: loop)
    }

    /// Reads the frames in `buffer`. The payload of data is moved together, so that one write delivers all of it.
    private func take(_ buffer: Buffer, on loop: isolated Loop) {
        let memory = buffer.filled
        var offset = 0
        while let event = webSocket.next(in: memory, at: &offset) {
            switch event {
            case .data(_, .text, _):
                // The real service's rule is not published; text on a tunnel of bytes is a mistake.
                close(.unsupportedData, "Binary data only", on: loop)
            case .data(let range, .binary, _): append(range, of: memory)
            case .ping(let payload):
                if let pong = webSocket.pong(for: payload, maskingKey: 0) { send(pong, on: loop) }
            case .pong: break
            case .close: clientCloses(on: loop)
            case .violation(let violation): close(violation.closeCode, violation.sentence, on: loop)
            }
            guard phase == .open || phase == .closing else { return }
        }
        _ = deliver(on: loop)
    }

    private func append(_ range: Range<Int>, of memory: UnsafeMutableRawBufferPointer) {
        guard !range.isEmpty, !targetIsGone, let base = memory.baseAddress else { return }
        bytesFromClient += range.count
        if pending.isEmpty {
            pending = range
            return
        }
        if range.lowerBound != pending.upperBound {
            memmove(base + pending.upperBound, base + range.lowerBound, range.count)
        }
        pending = pending.lowerBound..<pending.upperBound + range.count
    }

    /// Writes what waits for the target.
    ///
    /// - Returns: whether nothing waits any more, so that more may be read.
    private func deliver(on loop: isolated Loop) -> Bool {
        while !pending.isEmpty, !targetIsGone {
            guard let target, let buffer = plainIn, target.mayWrite else { return false }
            switch target.write(UnsafeRawBufferPointer(rebasing: buffer.memory[pending])) {
            case .wrote(let count): pending = pending.lowerBound + count..<pending.upperBound
            case .wouldBlock: return false
            case .failed:
                // Its last bytes can still be read; reading tells how it ended.
                pending = 0..<0
                targetIsGone = true
            }
        }
        pending = 0..<0
        if phase == .closing { closeTarget(on: loop) }
        return true
    }

    /// The client's Close frame: what it sent before is delivered, then the target is closed.
    private func clientCloses(on loop: isolated Loop) {
        if let reply = webSocket.closeReply(maskingKey: 0) { send(reply, on: loop) }
        guard phase == .open else { return }
        phase = .closing
        limit(to: service.timeouts.close, on: loop)
    }

    // MARK: To the client

    /// - Returns: whether it stopped although more could be done.
    private func relayToClient(on loop: isolated Loop) -> Bool {
        for _ in 0..<Self.roundsPerTurn {
            guard flush(on: loop), phase == .open, webSocket.maySendData, let target, target.mayRead else {
                return false
            }
            let buffer = loop.buffers.borrow()
            defer { loop.buffers.giveBack(buffer) }
            let most = min(Self.longestPayload, bytesUntilFault ?? .max)
            let space = UnsafeMutableRawBufferPointer(
                rebasing: buffer.memory[FrameHeader.maximumLength..<FrameHeader.maximumLength + most])
            switch target.read(into: space) {
            case .bytes(let count):
                let payload = FrameHeader.maximumLength..<FrameHeader.maximumLength + count
                let frame = FrameEncoder.enclose(payload: payload, in: buffer.memory, opcode: .binary, maskingKey: nil)
                if case .failed = tls.write(UnsafeRawBufferPointer(rebasing: buffer.memory[frame]), on: loop) {
                    finish(on: loop)
                    return false
                }
                bytesToClient += count
                strikeIfDue(on: loop)
            case .wouldBlock: return false
            case .endOfFile:
                close(.normal, "", on: loop)
                return false
            case .failed(let error):
                service.log.info("\(requestID): the target ended: \(error.reason)")
                // Not published either; an end that is no clean one must not look like one.
                close(.internalError, "Connection to target lost", on: loop)
                return false
            }
        }
        return true
    }

    /// One frame of this and its TLS records fit a buffer.
    private static let longestPayload = 64 * 1_024 - FrameHeader.maximumLength

    func closeTarget(on loop: isolated Loop) {
        connector?.cancel(on: loop)
        connector = nil
        target?.close(on: loop)
        target = nil
        targetIsGone = true
    }
}
