/// Which side of a connection we are (RFC 6455, section 1.2).
public enum Role: Sendable, Hashable {
    /// Masks what it sends, takes only unmasked frames.
    case client
    /// Sends unmasked frames, takes only masked ones.
    case server

    /// Whether the frames that come from the peer must be masked (RFC 6455, section 5.1).
    var peerMasks: Bool { self == .server }
}

/// The kinds of frame that RFC 6455, section 5.2, defines; every other opcode is reserved and fails a connection.
public enum Opcode: UInt8, Sendable, Hashable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    /// Control frames are never fragmented and may stand between the fragments of a message (section 5.5).
    public var isControl: Bool { rawValue & 0x8 != 0 }
}

/// What stands before a frame's payload (RFC 6455, section 5.2), already checked by ``FrameDecoder``.
public struct FrameHeader: Sendable, Hashable {
    /// The longest header: 2 bytes, an 8-byte length, a 4-byte masking key.
    public static let maximumLength = 14
    /// The longest payload of a control frame, in bytes (section 5.5).
    public static let maximumControlPayload = 125

    /// Whether this frame is the last one of its message (FIN).
    public var isFinal: Bool
    public var opcode: Opcode
    /// In bytes, not counting the header.
    public var payloadLength: Int
    /// Nil where the payload is not masked. For the order of its bytes see ``Masking``.
    public var maskingKey: UInt32?

    public init(isFinal: Bool, opcode: Opcode, payloadLength: Int, maskingKey: UInt32?) {
        self.isFinal = isFinal
        self.opcode = opcode
        self.payloadLength = payloadLength
        self.maskingKey = maskingKey
    }
}
