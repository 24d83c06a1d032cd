/// A rule of RFC 6455 that the peer broke. Each one fails the connection (section 7.1.7): a Close frame with
/// ``closeCode`` is sent, and nothing that comes afterwards is read.
public enum ProtocolViolation: Error, Sendable, Hashable {
    // Of one frame's header (sections 5.1, 5.2, 5.5)
    case reservedBits
    case reservedOpcode(UInt8)
    case maskedFrame
    case unmaskedFrame
    case fragmentedControlFrame
    case controlFrameTooLong
    case lengthNotMinimal
    case lengthTopBitSet

    // Of a message (section 5.4)
    case continuationWithoutStart
    case newMessageInsideFragments
    case textNotUTF8
    case messageTooLong(limit: Int)

    // Of a Close frame (sections 5.5.1, 7.4)
    case closePayloadOfOneByte
    case invalidCloseCode(UInt16)
    case closeReasonNotUTF8

    /// The code that our Close frame carries (RFC 6455, section 7.4.1).
    public var closeCode: CloseCode {
        switch self {
        case .textNotUTF8, .closeReasonNotUTF8: .invalidPayload
        case .messageTooLong: .messageTooBig
        default: .protocolError
        }
    }

    /// What the peer did, to be read after its name: "the endpoint " + "sent a masked frame".
    public var sentence: String {
        switch self {
        case .reservedBits: "set reserved bits, though no extension was agreed on"
        case .reservedOpcode(let opcode): "sent a frame of the reserved kind \(opcode)"
        case .maskedFrame: "sent a masked frame, which only a client may"
        case .unmaskedFrame: "sent a frame without a mask, which only a server may"
        case .fragmentedControlFrame: "sent a control frame in fragments"
        case .controlFrameTooLong: "sent a control frame of more than 125 bytes"
        case .lengthNotMinimal: "wrote a frame's length in more bytes than it needs"
        case .lengthTopBitSet: "sent a frame's length with its top bit set"
        case .continuationWithoutStart: "continued a message that it had not begun"
        case .newMessageInsideFragments: "began a message inside another one"
        case .textNotUTF8: "sent text that is not UTF-8"
        case .messageTooLong(let limit): "sent a message of more than \(limit) bytes"
        case .closePayloadOfOneByte: "sent a Close frame with half a code"
        case .invalidCloseCode(let code): "closed with the code \(code), which may not be sent"
        case .closeReasonNotUTF8: "closed with a reason that is not UTF-8"
        }
    }
}
