/// Reads frame headers (RFC 6455, section 5.2) out of bytes that may be split anywhere, and checks every rule that a
/// header alone can break. What follows a header, its payload, is for the caller to take.
public struct FrameDecoder: Sendable {
    private let peerMasks: Bool
    /// How many bytes of the header were read, and how many it has as far as is known.
    private var position = 0
    private var end = 2
    /// Where the length's own bytes end and the masking key begins.
    private var lengthEnd = 2
    private var isFinal = false
    private var opcode = Opcode.continuation
    private var length: UInt64 = 0
    private var key: UInt32 = 0

    /// - Parameter role: our own; it decides whether the peer must mask.
    public init(role: Role) { peerMasks = role.peerMasks }

    /// Takes bytes from `buffer` at `offset` and moves `offset` behind them.
    ///
    /// - Returns: the header when it is complete; nil when `buffer` ended before it was. The next call continues.
    /// - Throws: the broken rule, at the first byte that breaks it. The decoder is of no use afterwards.
    public mutating func nextHeader(
        in buffer: UnsafeRawBufferPointer, at offset: inout Int
    ) throws(ProtocolViolation) -> FrameHeader? {
        while position < end {
            guard offset < buffer.count else { return nil }
            let byte = buffer[offset]
            offset += 1
            try take(byte)
            position += 1
        }
        let header = FrameHeader(
            isFinal: isFinal, opcode: opcode, payloadLength: Int(length), maskingKey: peerMasks ? key : nil)
        (position, end, lengthEnd, length, key) = (0, 2, 2, 0, 0)
        return header
    }

    private mutating func take(_ byte: UInt8) throws(ProtocolViolation) {
        switch position {
        case 0: try takeKind(byte)
        case 1: try takeShortLength(byte)
        case ..<lengthEnd:
            length = length << 8 | UInt64(byte)
            if position == 2, lengthEnd == 10, byte & 0x80 != 0 { throw .lengthTopBitSet }
            if position == lengthEnd - 1, length <= (lengthEnd == 4 ? 125 : 0xFFFF) { throw .lengthNotMinimal }
        default:
            key |= UInt32(byte) << UInt32((position - lengthEnd) * 8)
        }
    }

    private mutating func takeKind(_ byte: UInt8) throws(ProtocolViolation) {
        guard byte & 0x70 == 0 else { throw .reservedBits }
        guard let opcode = Opcode(rawValue: byte & 0xF) else { throw .reservedOpcode(byte & 0xF) }
        isFinal = byte & 0x80 != 0
        self.opcode = opcode
        guard isFinal || !opcode.isControl else { throw .fragmentedControlFrame }
    }

    private mutating func takeShortLength(_ byte: UInt8) throws(ProtocolViolation) {
        guard (byte & 0x80 != 0) == peerMasks else { throw peerMasks ? .unmaskedFrame : .maskedFrame }
        let short = byte & 0x7F
        guard short <= 125 || !opcode.isControl else { throw .controlFrameTooLong }
        switch short {
        case 126: lengthEnd = 4
        case 127: lengthEnd = 10
        default: length = UInt64(short)
        }
        end = peerMasks ? lengthEnd + 4 : lengthEnd
    }
}
