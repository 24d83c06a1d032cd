import Glibc
import OpenSSL
import SecureSocket
import SocketIO
import TestSupport
import WebSocket

/// A server's end of a TLS connection, plain or with a WebSocket in it, for a thread that blocks.
///
/// As lean as the relays that it is to measure: batches of 64 KiB, no copy of its own, one call a batch.
final class ServedStream {
    /// The most payload that ``send(_:)`` takes.
    static let largestBatch = 65_000

    private let tls: BlockingTLS
    private let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 64)
    private var webSocket: WebSocketStateMachine?

    /// Shakes hands, and waits for the upgrade where there is to be a WebSocket.
    init(_ socket: LoopbackSocket, context: TLSContext, isWebSocket: Bool) throws {
        tls = BlockingTLS(
            try TLSSession(server: context), receive: { try socket.read(into: $0) }, send: { try socket.write($0) })
        do {
            try tls.handshake()
        } catch {
            throw TestFailure("TLS: \(error)")
        }
        if isWebSocket { try upgrade() }
    }

    deinit { plain.deallocate() }

    /// The request that opened the WebSocket.
    private(set) var request: HTTPRequestHead?

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
        // The client may be gone already, and then nobody misses it.
        try? tls.sendCloseNotify()
    }

    /// Plaintext into `plain`; 0 at the end.
    private func decrypt() throws -> Int {
        do {
            return try tls.read(into: plain)
        } catch let error as TLSError where error.code == .truncated {
            return 0
        } catch let error as TLSError {
            throw TestFailure("TLS: \(error)")
        }
    }

    private func encrypt(_ bytes: [UInt8]) throws { try tls.write(bytes) }

    private func encrypt(_ bytes: UnsafeRawBufferPointer) throws { try tls.write(bytes) }
}
