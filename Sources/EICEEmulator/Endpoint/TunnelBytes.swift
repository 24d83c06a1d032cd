import OpenSSL
import SocketIO

/// Between the socket and TLS: buffers that are borrowed while bytes are in flight, and nothing at rest.
extension TunnelConnection {
    enum Input {
        case some, none
        /// The client's end of file, or a reset.
        case ended
    }

    // MARK: In

    /// Takes ciphertext from the socket. Only when TLS has used what it had.
    func receive(on loop: isolated Loop) -> Input {
        guard let client else { return .ended }
        if cipherIn == nil {
            let buffer = loop.buffers.borrow()
            cipherIn = buffer
            tls.incoming.lend(buffer.memory)
        }
        switch client.read(into: tls.incoming.free, on: loop) {
        case .bytes(let count):
            tls.incoming.append(count)
            return .some
        case .wouldBlock: return .none
        case .endOfFile, .failed:
            tls.incomingEnded = true
            return .ended
        }
    }

    enum Plaintext {
        case some, none
        /// The client ended TLS or TCP, or broke TLS.
        case ended
    }

    /// Decrypts into `buffer` until it is nearly full or nothing more is there.
    func decrypt(into buffer: Buffer, on loop: isolated Loop) -> Plaintext {
        // Reading can make TLS write: the answer to a key update, an alert.
        lendOutgoing(on: loop)
        while buffer.room >= Self.longestRecord {
            switch tls.read(into: buffer.free) {
            case .bytes(let count): buffer.end += count
            case .needsIncoming:
                switch receive(on: loop) {
                case .some: continue
                case .none: return buffer.isEmpty ? .none : .some
                case .ended:
                    if buffer.isEmpty { return .ended }
                    return .some
                }
            case .needsOutgoing:
                guard flush(on: loop) else { return buffer.isEmpty ? .none : .some }
                lendOutgoing(on: loop)
            case .ended: return buffer.isEmpty ? .ended : .some
            case .failed(let error):
                service.log.info("\(requestID): TLS failed: \(error)")
                return buffer.isEmpty ? .ended : .some
            }
        }
        return .some
    }

    /// The most plaintext of one TLS record (RFC 8446, section 5.1).
    static let longestRecord = 16 * 1_024

    // MARK: Out

    /// Encrypts and sends; what does not fit waits and goes first next time.
    func send(_ plaintext: [UInt8], on loop: isolated Loop) {
        control += plaintext
        _ = flush(on: loop)
    }

    /// Sends what waits.
    ///
    /// - Returns: whether nothing waits any more.
    func flush(on loop: isolated Loop) -> Bool {
        while true {
            while !tls.outgoing.isEmpty {
                guard let client else { return false }
                switch client.write(tls.outgoing.filled, on: loop) {
                case .wrote(let count): tls.outgoing.consume(count)
                case .wouldBlock: return false
                case .failed:
                    finish(on: loop)
                    return false
                }
            }
            guard !control.isEmpty, phase != .closed else { return phase != .closed }
            lendOutgoing(on: loop)
            let part = control.prefix(Self.longestRecord)
            guard case .bytes(let count) = part.withUnsafeBytes({ tls.write($0) }) else {
                finish(on: loop)
                return false
            }
            control.removeFirst(count)
        }
    }

    /// Past TLS: for a fault. Only when nothing waits.
    func sendUnencrypted(_ bytes: [UInt8], on loop: isolated Loop) {
        _ = bytes.withUnsafeBytes { client?.write($0, on: loop) }
    }

    // MARK: Buffers

    func lendOutgoing(on loop: isolated Loop) {
        guard cipherOut == nil else { return }
        let buffer = loop.buffers.borrow()
        cipherOut = buffer
        tls.outgoing.lend(buffer.memory)
    }

    func returnIdleBuffers(on loop: isolated Loop) {
        if let buffer = cipherIn, tls.incoming.isEmpty {
            tls.incoming.takeBack()
            loop.buffers.giveBack(buffer)
            cipherIn = nil
        }
        if let buffer = cipherOut, tls.outgoing.isEmpty {
            tls.outgoing.takeBack()
            loop.buffers.giveBack(buffer)
            cipherOut = nil
        }
        if let buffer = plainIn, pending.isEmpty {
            loop.buffers.giveBack(buffer)
            plainIn = nil
        }
        tls.releaseBuffers()
    }

    func returnAllBuffers(on loop: isolated Loop) {
        tls.incoming.consume(tls.incoming.filled.count)
        tls.outgoing.consume(tls.outgoing.filled.count)
        pending = 0..<0
        returnIdleBuffers(on: loop)
    }
}
