import OpenSSL

/// TLS, in the role of its session, for a thread whose calls block. Belongs to one thread at a time.
public final class BlockingTLS {
    public let session: TLSSession
    private let receive: (UnsafeMutableRawBufferPointer) throws -> Int
    private let send: (UnsafeRawBufferPointer) throws -> Void
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)

    /// With what TLS adds, half of the memory holds it.
    private static let largestWrite = 64 << 10

    /// - Parameters:
    ///   - receive: waits for ciphertext and returns how much came; 0 at the end of the stream.
    ///   - send: sends all of its ciphertext.
    public init(
        _ session: TLSSession, receive: @escaping (UnsafeMutableRawBufferPointer) throws -> Int,
        send: @escaping (UnsafeRawBufferPointer) throws -> Void
    ) {
        self.session = session
        self.receive = receive
        self.send = send
        session.incoming.lend(UnsafeMutableRawBufferPointer(rebasing: memory[..<(memory.count / 2)]))
        session.outgoing.lend(UnsafeMutableRawBufferPointer(rebasing: memory[(memory.count / 2)...]))
    }

    deinit { memory.deallocate() }

    /// - Throws: ``TLSError``, or what `receive` and `send` throw.
    public func handshake() throws {
        while true {
            switch session.handshake() {
            case .done: return try flush()
            case .needsOutgoing: try flush()
            case .needsIncoming: try fill()
            case .failed(let error): throw afterAlert(error)
            }
        }
    }

    /// Waits for plaintext and returns how much came; 0 at TLS's own end.
    ///
    /// - Throws: ``TLSError``, which is `.truncated` if the stream ended without TLS's end, or what `receive` and `send` throw.
    public func read(into plaintext: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            switch session.read(into: plaintext) {
            case .bytes(let count):
                try flush()
                return count
            case .ended:
                try flush()
                return 0
            case .needsOutgoing: try flush()
            case .needsIncoming: try fill()
            case .failed(let error): throw afterAlert(error)
            }
        }
    }

    /// The same as an array, which is empty at the end.
    public func read() throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: 16 << 10) { buffer, count in
            count = try read(into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// Encrypts and sends all of it.
    ///
    /// - Throws: ``TLSError``, or what `send` throws.
    public func write(_ plaintext: UnsafeRawBufferPointer) throws {
        for start in stride(from: 0, to: plaintext.count, by: Self.largestWrite) {
            let end = min(start + Self.largestWrite, plaintext.count)
            switch session.write(UnsafeRawBufferPointer(rebasing: plaintext[start..<end])) {
            case .bytes: try flush()
            case .failed(let error): throw error
            case .ended, .needsIncoming, .needsOutgoing:
                throw TLSError(.violation, "the peer asked for a renegotiation")
            }
        }
    }

    public func write(_ plaintext: [UInt8]) throws { try plaintext.withUnsafeBytes { try write($0) } }

    /// Ends TLS in order; the socket stays open.
    public func sendCloseNotify() throws {
        session.sendCloseNotify()
        try flush()
    }

    /// The peer is owed the alert that says why.
    private func afterAlert(_ error: TLSError) -> TLSError {
        try? flush()
        return error
    }

    private func fill() throws {
        try flush()
        let count = try receive(session.incoming.free)
        if count == 0 { session.incomingEnded = true }
        session.incoming.append(count)
    }

    private func flush() throws {
        let bytes = session.outgoing.filled
        guard !bytes.isEmpty else { return }
        try send(bytes)
        session.outgoing.consume(bytes.count)
    }
}
