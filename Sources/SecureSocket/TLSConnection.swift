import OpenSSL
import SocketIO

/// TLS, in the role of its session, on what carries its records: plaintext in, plaintext out, as far as the socket goes.
///
/// Holds buffers only while bytes are in flight. Confined to the loop of its socket; a step of its handshake may be computed
/// elsewhere.
public final class TLSConnection {
    /// What the records travel in.
    public enum Carrier {
        case socket(StreamSocket)
        /// The TLS connection to a proxy.
        case proxy(TLSConnection)
        case other(any TLSCarrier)
    }

    public enum ReadResult: Equatable {
        case bytes(Int)
        case wouldBlock
        /// close_notify: the peer ended as it should.
        case ended
        case failed(TransportError)
    }

    public enum FlushResult: Equatable {
        /// Nothing is left to send.
        case done
        case blocked
        case failed(TransportError)
    }

    private let carrier: Carrier
    public let session: TLSSession
    private var incoming: Buffer?
    private var outgoing: Buffer?
    /// How the stream ended, found while bytes before it were still to be handed out.
    private var end: ReadResult?
    /// A read could not go on before something was sent.
    private var owesAnswer = false
    /// Another thread has the session, or will have it, for a step of the handshake: here nobody touches it, nor the buffers that
    /// were lent to it.
    public private(set) var isAway = false
    /// Closed meanwhile.
    private var isClosed = false

    public init(over carrier: Carrier, session: TLSSession) {
        self.carrier = carrier
        self.session = session
    }

    /// Below all layers.
    public var socket: StreamSocket {
        switch carrier {
        case .socket(let socket): socket
        case .proxy(let outer): outer.socket
        case .other(let carrier): carrier.socket
        }
    }

    /// Takes the handshake as far as the socket allows. `.done` once it is complete and our part of it is sent.
    public func handshake(on loop: isolated Loop) -> FlushResult {
        lendBuffers(on: loop)
        defer { giveBackEmptyBuffers(on: loop) }
        while true { if let result = afterStep(session.handshake(), on: loop) { return result } }
    }

    /// Lends the session to another thread. Unchecked: until it is back, `isAway` keeps everybody else from it.
    private struct Loan: @unchecked Sendable {
        let session: TLSSession
    }

    /// The same, with the computation on other threads.
    ///
    /// - Parameter then: called on this loop, possibly before this returns, unless the connection is closed before.
    public func handshake(by handshakes: Handshakes, on loop: isolated Loop, then: @escaping (FlushResult) -> Void) {
        isAway = true
        let begin = { () -> (@Sendable () -> TLSSession.Handshake)? in
            guard !self.isClosed else {
                self.giveBackBuffers(on: loop)
                return nil
            }
            self.lendBuffers(on: loop)
            // A step without its bytes would only say that it needs some.
            if self.session.incoming.isEmpty, case .failed(let error) = self.receive(on: loop) {
                self.isAway = false
                self.giveBackEmptyBuffers(on: loop)
                then(.failed(error))
                return nil
            }
            let loan = Loan(session: self.session)
            return { loan.session.handshake() }
        }
        handshakes.compute(
            begin,
            then: { progress in
                self.isAway = false
                // What the loop said about that meanwhile was for nobody, and the step may have asked for memory after it.
                self.socket.tellWhenQuiet(on: loop)
                guard !self.isClosed else { return self.giveBackBuffers(on: loop) }
                guard let result = self.afterStep(progress, on: loop) else {
                    return self.handshake(by: handshakes, on: loop, then: then)
                }
                self.giveBackEmptyBuffers(on: loop)
                then(result)
            }, on: loop)
    }

    /// Sends and receives what a step of the handshake wants, within a call that has lent the buffers.
    ///
    /// - Returns: nil where the next step can be done.
    private func afterStep(_ progress: TLSSession.Handshake, on loop: isolated Loop) -> FlushResult? {
        // Also after a failure: the peer is owed the alert that says why.
        let flushed = sendOutgoing(on: loop)
        switch progress {
        case .failed(let error): return .failed(.tls(error))
        case .done: return flushed
        case .needsOutgoing: return flushed == .done ? nil : flushed
        case .needsIncoming:
            if case .failed = flushed { return flushed }
            switch receive(on: loop) {
            case .bytes, .ended: return nil
            case .wouldBlock: return .blocked
            case .failed(let error): return .failed(error)
            }
        }
    }

    /// Decrypts into `memory` until it is full, or the socket has no more for now.
    public func read(into memory: UnsafeMutableRawBufferPointer, on loop: isolated Loop) -> ReadResult {
        if let end { return end }
        lendBuffers(on: loop)
        defer { giveBackEmptyBuffers(on: loop) }
        let result = decrypt(into: memory, on: loop)
        // What TLS had to say while reading (the answer to a key update) must not wait for a write of ours, which it
        // would hold up. An error shows itself again at that write.
        _ = sendOutgoing(on: loop)
        return result
    }

    /// OpenSSL would find out too that there is nothing to read, but dearly.
    private var mayDecrypt: Bool {
        !session.incoming.isEmpty || session.hasPendingPlaintext || session.incomingEnded || owesAnswer
    }

    private func decrypt(into memory: UnsafeMutableRawBufferPointer, on loop: isolated Loop) -> ReadResult {
        var filled = 0
        defer { if session.outgoing.isEmpty { owesAnswer = false } }
        func stop(_ result: ReadResult) -> ReadResult {
            guard filled > 0 else { return result }
            if result != .wouldBlock { end = result }
            return .bytes(filled)
        }
        while filled < memory.count {
            let free = UnsafeMutableRawBufferPointer(rebasing: memory[filled...])
            switch mayDecrypt ? session.read(into: free) : .needsIncoming {
            case .bytes(let count): filled += count
            case .ended: return stop(.ended)
            case .failed(let error): return stop(.failed(.tls(error)))
            case .needsOutgoing:
                // A key update wants an answer first (RFC 8446, section 4.6.3).
                owesAnswer = true
                if case .failed(let error) = sendOutgoing(on: loop) { return stop(.failed(error)) }
                guard session.outgoing.isEmpty else { return stop(.wouldBlock) }
            case .needsIncoming:
                switch receive(on: loop) {
                case .bytes, .ended: continue
                case .wouldBlock: return stop(.wouldBlock)
                case .failed(let error): return stop(.failed(error))
                }
            }
        }
        return .bytes(filled)
    }

    /// Whether `write` may be called: everything before has left.
    public var mayWrite: Bool {
        guard session.outgoing.isEmpty else { return false }
        if case .proxy(let outer) = carrier { return outer.mayWrite }
        return true
    }

    private static let largestWrite = 64 << 10

    /// Encrypts all of `plaintext`, at most 64 KiB and a frame's header, and sends what the socket takes.
    public func write(_ plaintext: UnsafeRawBufferPointer, on loop: isolated Loop) -> FlushResult {
        lendBuffers(on: loop)
        defer { giveBackEmptyBuffers(on: loop) }
        switch session.write(plaintext) {
        case .bytes: return sendOutgoing(on: loop)
        case .failed(let error): return .failed(.tls(error))
        case .ended, .needsIncoming, .needsOutgoing:
            // TLS 1.3 writes without reading, and the room was there: only a peer that renegotiates gets here.
            return .failed(.tls(TLSError(.violation, "the peer asked for a renegotiation")))
        }
    }

    /// Sends the ciphertext that waits.
    public func flush(on loop: isolated Loop) -> FlushResult {
        defer { giveBackEmptyBuffers(on: loop) }
        return sendOutgoing(on: loop)
    }

    /// The same within a call that still needs the buffers.
    private func sendOutgoing(on loop: isolated Loop) -> FlushResult {
        switch carrier {
        case .socket(let socket): return sendOutgoing { socket.mayWrite ? socket.write($0) : .wouldBlock }
        case .other(let carrier): return sendOutgoing { carrier.write($0, on: loop) }
        case .proxy(let outer):
            while true {
                let flushed = outer.flush(on: loop)
                guard flushed == .done, !session.outgoing.isEmpty else { return flushed }
                let records = UnsafeRawBufferPointer(rebasing: session.outgoing.filled.prefix(Self.largestWrite))
                // All of it is taken, sent or not.
                let sent = outer.write(records, on: loop)
                session.outgoing.consume(records.count)
                if case .failed = sent { return sent }
            }
        }
    }

    private func sendOutgoing(by write: (UnsafeRawBufferPointer) -> StreamSocket.WriteResult) -> FlushResult {
        while !session.outgoing.isEmpty {
            switch write(session.outgoing.filled) {
            case .wrote(let count): session.outgoing.consume(count)
            case .wouldBlock: return .blocked
            case .failed(let error): return .failed(.socket(error))
            }
        }
        return .done
    }

    /// Says goodbye as TLS wants it, as far as the socket takes it now.
    public func sendCloseNotify(on loop: isolated Loop) {
        lendBuffers(on: loop)
        session.sendCloseNotify()
        // Best effort: the connection is over either way.
        _ = flush(on: loop)
    }

    /// Drops the ciphertext that waits: nobody takes it any more.
    public func abandonOutgoing(on loop: isolated Loop) {
        session.outgoing.consume(session.outgoing.end - session.outgoing.start)
        giveBackEmptyBuffers(on: loop)
        if case .proxy(let outer) = carrier { outer.abandonOutgoing(on: loop) }
    }

    /// Whether there is plaintext or ciphertext at hand that a `read` would give without a new edge of the socket.
    public var mayRead: Bool {
        end != nil || carrierMayRead || !session.incoming.isEmpty || session.hasPendingPlaintext
    }

    private var carrierMayRead: Bool {
        switch carrier {
        case .socket(let socket): socket.mayRead
        case .proxy(let outer): outer.mayRead
        case .other(let carrier): carrier.mayRead
        }
    }

    public func close(on loop: isolated Loop) {
        switch carrier {
        case .socket(let socket): socket.close(on: loop)
        case .proxy(let outer):
            outer.sendCloseNotify(on: loop)
            outer.close(on: loop)
        case .other(let carrier): carrier.close(on: loop)
        }
        isClosed = true
        if !isAway { giveBackBuffers(on: loop) }
    }

    private func giveBackBuffers(on loop: isolated Loop) {
        if let incoming {
            session.incoming.consume(session.incoming.end - session.incoming.start)
            session.incoming.takeBack()
            loop.buffers.giveBack(incoming)
        }
        if let outgoing {
            session.outgoing.consume(session.outgoing.end - session.outgoing.start)
            session.outgoing.takeBack()
            loop.buffers.giveBack(outgoing)
        }
        incoming = nil
        outgoing = nil
    }

    /// Within a call that has lent the buffers.
    private func receive(on loop: isolated Loop) -> ReadResult {
        guard carrierMayRead, !session.incomingEnded else { return session.incomingEnded ? .ended : .wouldBlock }
        let result = readCarrier(into: session.incoming.free, on: loop)
        switch result {
        case .bytes(let count): session.incoming.append(count)
        case .ended: session.incomingEnded = true
        case .wouldBlock, .failed: break
        }
        return result
    }

    private func readCarrier(into free: UnsafeMutableRawBufferPointer, on loop: isolated Loop) -> ReadResult {
        switch carrier {
        case .proxy(let outer): return outer.read(into: free, on: loop)
        case .socket(let socket): return ReadResult(socket.read(into: free))
        case .other(let carrier): return ReadResult(carrier.read(into: free, on: loop))
        }
    }

    /// Gives back what OpenSSL holds for traffic; to be called when the loop is quiet.
    public func rest() {
        if !isAway { session.releaseBuffers() }
        if case .proxy(let outer) = carrier { outer.rest() }
    }

    private func lendBuffers(on loop: isolated Loop) {
        socket.tellWhenQuiet(on: loop)
        if incoming == nil {
            let buffer = loop.buffers.borrow()
            incoming = buffer
            session.incoming.lend(buffer.memory)
        }
        if outgoing == nil {
            let buffer = loop.buffers.borrow()
            outgoing = buffer
            session.outgoing.lend(buffer.memory)
        }
    }

    private func giveBackEmptyBuffers(on loop: isolated Loop) {
        if let buffer = incoming, session.incoming.isEmpty {
            session.incoming.takeBack()
            loop.buffers.giveBack(buffer)
            incoming = nil
        }
        if let buffer = outgoing, session.outgoing.isEmpty {
            session.outgoing.takeBack()
            loop.buffers.giveBack(buffer)
            outgoing = nil
        }
    }
}

extension TLSConnection.ReadResult {
    fileprivate init(_ result: StreamSocket.ReadResult) {
        switch result {
        case .bytes(let count): self = .bytes(count)
        case .endOfFile: self = .ended
        case .wouldBlock: self = .wouldBlock
        case .failed(let error): self = .failed(.socket(error))
        }
    }
}

/// A socket with something between it and TLS, such as a delay. Confined to the loop of its socket.
public protocol TLSCarrier: AnyObject {
    var socket: StreamSocket { get }
    /// Whether a read might give something.
    var mayRead: Bool { get }
    /// Reads into at least one byte of memory.
    func read(into memory: UnsafeMutableRawBufferPointer, on loop: isolated Loop) -> StreamSocket.ReadResult
    /// Takes what it can now.
    func write(_ bytes: UnsafeRawBufferPointer, on loop: isolated Loop) -> StreamSocket.WriteResult
    func close(on loop: isolated Loop)
}

/// Why a connection broke, at its socket or in TLS.
public enum TransportError: Error, Hashable {
    case socket(SystemError)
    case tls(TLSError)

    public var reason: String {
        switch self {
        case .socket(let error): error.reason
        case .tls(let error): error.reason
        }
    }

    /// What is wrong with the peer's TLS; nil if the connection merely ended.
    public var flaw: TLSError? {
        guard case .tls(let error) = self, error.code != .truncated else { return nil }
        return error
    }
}
