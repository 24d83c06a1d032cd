import Glibc
import OpenSSL
import SocketIO
import TestSupport
import WebSocket

/// A server's end of a TLS connection, plain or with a WebSocket in it, for a thread that blocks.
///
/// As lean as the relays that it is to measure: batches of 64 KiB, no copy of its own, one call a batch.
final class ServedStream {
    /// The most payload that ``send(_:)`` takes.
    static let largestBatch = 65_000

    private let socket: LoopbackSocket
    private let session: TLSSession
    private let received = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 64)
    private let sent = UnsafeMutableRawBufferPointer.allocate(byteCount: 68 << 10, alignment: 64)
    private let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 64)
    private var webSocket: WebSocketStateMachine?

    /// Shakes hands, and waits for the upgrade where there is to be a WebSocket.
    init(_ socket: LoopbackSocket, context: TLSContext, isWebSocket: Bool) throws {
        self.socket = socket
        session = try TLSSession(server: context)
        session.incoming.lend(received)
        session.outgoing.lend(sent)
        try shakeHands()
        if isWebSocket { try upgrade() }
    }

    deinit {
        received.deallocate()
        sent.deallocate()
        plain.deallocate()
    }

    /// The request that opened the WebSocket.
    private(set) var request: HTTPRequestHead?

    private func shakeHands() throws {
        while true {
            let progress = session.handshake()
            try flush()
            switch progress {
            case .done: return
            case .needsOutgoing: continue
            case .needsIncoming: guard try fill() else { throw TestFailure("the client left in its handshake") }
            case .failed(let error): throw TestFailure("TLS: \(error)")
            }
        }
    }

    private func upgrade() throws {
        var parser = UpgradeRequestParser()
        while true {
            let count = try decrypt()
            guard count > 0 else { throw TestFailure("the client left before its upgrade") }
            switch parser.feed(UnsafeRawBufferPointer(rebasing: plain[..<count])) {
            case .needMore: continue
            case .violation(_, let sentence): throw TestFailure(sentence)
            case .request(let head, let leftover):
                guard leftover == count else { throw TestFailure("bytes came before the upgrade was answered") }
                request = head
                try encrypt(UpgradeResponse.accepting(key: try head.webSocketKey()))
                webSocket = WebSocketStateMachine(role: .server)
                return
            }
        }
    }

    /// Waits for bytes and hands over what came, in parts.
    ///
    /// - Returns: false at the end of the stream.
    func receive(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        let count = try decrypt()
        guard count > 0 else { return false }
        let bytes = UnsafeMutableRawBufferPointer(rebasing: plain[..<count])
        guard webSocket != nil else {
            try body(UnsafeRawBufferPointer(bytes))
            return true
        }
        var offset = 0
        while let event = webSocket?.next(in: bytes, at: &offset) {
            switch event {
            case .data(let range, _, _): try body(UnsafeRawBufferPointer(rebasing: bytes[range]))
            case .ping(let payload): try webSocket?.pong(for: payload, maskingKey: 0).map(encrypt)
            case .pong: break
            case .close:
                try webSocket?.closeReply(maskingKey: 0).map(encrypt)
                return false
            case .violation(let rule): throw TestFailure("the client broke a rule: \(rule.sentence)")
            }
        }
        return true
    }

    /// Memory for ``send(_:)``, with room for a frame's header before the payload.
    static func batch(_ count: Int = largestBatch) -> UnsafeMutableRawBufferPointer {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: FrameHeader.maximumLength + count, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0x2A)
        return memory
    }

    /// Sends the payload of a ``batch(_:)``, its first `count` bytes, as one frame where this is a WebSocket.
    func send(_ batch: UnsafeMutableRawBufferPointer, _ count: Int) throws {
        let payload = FrameHeader.maximumLength..<FrameHeader.maximumLength + count
        guard webSocket != nil else { return try encrypt(UnsafeRawBufferPointer(rebasing: batch[payload])) }
        let frame = FrameEncoder.enclose(payload: payload, in: batch, opcode: .binary, maskingKey: nil)
        try encrypt(UnsafeRawBufferPointer(rebasing: batch[frame]))
    }

    /// Says goodbye, so that the client does not take the end for a cut.
    func end() {
        session.sendCloseNotify()
        // The client may be gone already, and then nobody misses it.
        try? flush()
    }

    /// Plaintext into `plain`; 0 at the end.
    private func decrypt() throws -> Int {
        while true {
            switch session.read(into: plain) {
            case .bytes(let count): return count
            case .ended: return 0
            case .failed(let error) where error.code == .truncated: return 0
            case .failed(let error): throw TestFailure("TLS: \(error)")
            case .needsOutgoing: try flush()
            case .needsIncoming: guard try fill() else { return 0 }
            }
        }
    }

    private func encrypt(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes(encrypt) }

    private func encrypt(_ bytes: UnsafeRawBufferPointer) throws {
        guard session.write(bytes) == .bytes(bytes.count) else { throw TestFailure("TLS took less than a batch") }
        try flush()
    }

    private func fill() throws -> Bool {
        let count = try socket.read(into: session.incoming.free)
        session.incoming.append(count)
        return count > 0
    }

    private func flush() throws {
        guard !session.outgoing.isEmpty else { return }
        try socket.write(session.outgoing.filled)
        session.outgoing.consume(session.outgoing.filled.count)
    }
}
