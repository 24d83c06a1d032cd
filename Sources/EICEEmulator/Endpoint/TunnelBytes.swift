import SecureSocket
import SocketIO

/// Between TLS and the rest: what waits, and buffers that are borrowed while bytes are in flight.
extension TunnelConnection {
    // MARK: In

    enum Plaintext {
        case some, none
        /// The client ended TLS or TCP, or broke TLS.
        case ended
    }

    /// Decrypts into `buffer`, which is empty, until it is full or nothing more is there.
    func decrypt(into buffer: Buffer, on loop: isolated Loop) -> Plaintext {
        switch tls.read(into: buffer.free, on: loop) {
        case .bytes(let count):
            buffer.end += count
            return .some
        case .wouldBlock: return .none
        case .ended: return .ended
        case .failed(let error):
            if let flaw = error.flaw { service.log.info("\(requestID): TLS failed: \(flaw)") }
            return .ended
        }
    }

    // MARK: Out

    /// The most plaintext of one TLS record (RFC 8446, section 5.1).
    private static let longestRecord = 16 * 1_024

    /// Encrypts and sends; what does not fit waits and goes first next time.
    func send(_ plaintext: [UInt8], on loop: isolated Loop) {
        control += plaintext
        _ = flush(on: loop)
    }

    /// Sends what waits.
    ///
    /// - Returns: whether nothing waits any more.
    func flush(on loop: isolated Loop) -> Bool {
        guard phase != .closed else { return false }
        var sent = tls.flush(on: loop)
        while sent == .done, !control.isEmpty {
            let part = Array(control.prefix(Self.longestRecord))
            control.removeFirst(part.count)
            sent = part.withUnsafeBytes { tls.write($0, on: loop) }
        }
        if case .failed = sent { finish(on: loop) }
        return sent == .done
    }

    /// Past TLS: for a fault. Only when nothing waits.
    func sendUnencrypted(_ bytes: [UInt8], on loop: isolated Loop) {
        _ = bytes.withUnsafeBytes { client.write($0, on: loop) }
    }

    // MARK: Buffers

    func returnIdleBuffers(on loop: isolated Loop) {
        if let buffer = plainIn, pending.isEmpty {
            loop.buffers.giveBack(buffer)
            plainIn = nil
        }
        tls.rest()
    }
}
