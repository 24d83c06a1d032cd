import WebSocket

/// A client that sends each complete message back as it came, with its kind: what the Autobahn test suite asks of a client under
/// test. Bytes in, bytes out; no socket.
public struct EchoSession {
    /// Messages up to 16 MiB, the longest that Autobahn sends (group 9).
    public static let longestMessage = 16 << 20

    private var webSocket = WebSocketStateMachine(role: .client, maximumMessageLength: Self.longestMessage)
    private var message: [UInt8] = []
    /// Masking keys (RFC 6455, section 5.3).
    private let drawKey: () -> UInt32

    /// - Parameter drawKey: a fresh random key at each call.
    public init(drawKey: @escaping () -> UInt32) { self.drawKey = drawKey }

    /// Both Close frames are on their way: a clean end.
    public var isClosed: Bool { webSocket.isClosed }
    /// The rule that the peer broke, after which nothing is read.
    public var violation: ProtocolViolation? { webSocket.violation }

    /// Takes the peer's bytes, which are unmasked in place.
    ///
    /// - Returns: what is to be sent.
    public mutating func receive(_ bytes: UnsafeMutableRawBufferPointer) -> [UInt8] {
        var output: [UInt8] = []
        var offset = 0
        while let event = webSocket.next(in: bytes, at: &offset) {
            switch event {
            case .data(let range, let kind, let endOfMessage):
                message.append(contentsOf: bytes[range])
                guard endOfMessage else { continue }
                if webSocket.maySendData {
                    output += FrameEncoder.frame(
                        kind == .text ? .text : .binary, payload: message, maskingKey: drawKey())
                }
                message = []
            case .ping(let payload): output += webSocket.pong(for: payload, maskingKey: drawKey()) ?? []
            case .pong: break
            case .close: output += webSocket.closeReply(maskingKey: drawKey()) ?? []
            case .violation(let rule):
                output += webSocket.close(rule.closeCode, reason: rule.sentence, maskingKey: drawKey()) ?? []
            }
        }
        return output
    }
}
