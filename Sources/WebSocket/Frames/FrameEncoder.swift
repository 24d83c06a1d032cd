/// Writes frames (RFC 6455, section 5.2), always with the shortest form of the length.
///
/// On the data path nothing is copied: bytes are read into a buffer at ``FrameHeader/maximumLength`` or later, and
/// ``enclose(payload:in:opcode:isFinal:maskingKey:)`` masks them where they are and puts the header right before them.
public enum FrameEncoder {
    /// How many bytes the header of such a frame takes: 2 to 14.
    public static func headerLength(payloadLength: Int, masked: Bool) -> Int {
        let length =
            switch payloadLength {
            case ...125: 2
            case ...0xFFFF: 4
            default: 10
            }
        return masked ? length + 4 : length
    }

    /// Writes a frame's header at the start of `memory` and returns its length.
    ///
    /// - Parameters:
    ///   - memory: holds at least ``headerLength(payloadLength:masked:)`` bytes.
    ///   - maskingKey: a client's key for this frame; nil for a server.
    @discardableResult
    public static func writeHeader(
        into memory: UnsafeMutableRawBufferPointer, opcode: Opcode, isFinal: Bool = true, payloadLength: Int,
        maskingKey: UInt32?
    ) -> Int {
        let maskBit: UInt8 = maskingKey == nil ? 0 : 0x80
        memory[0] = (isFinal ? 0x80 : 0) | opcode.rawValue
        var length = 2
        switch payloadLength {
        case ...125:
            memory[1] = maskBit | UInt8(truncatingIfNeeded: payloadLength)
        case ...0xFFFF:
            memory[1] = maskBit | 126
            memory.storeBytes(of: UInt16(payloadLength).bigEndian, toByteOffset: 2, as: UInt16.self)
            length = 4
        default:
            memory[1] = maskBit | 127
            memory.storeBytes(of: UInt64(payloadLength).bigEndian, toByteOffset: 2, as: UInt64.self)
            length = 10
        }
        if let maskingKey {
            memory.storeBytes(of: maskingKey.littleEndian, toByteOffset: length, as: UInt32.self)
            length += 4
        }
        return length
    }

    /// Makes a frame of the bytes that stand at `payload` in `buffer`: masks them in place and writes the header right
    /// before them.
    ///
    /// - Parameter payload: begins at ``FrameHeader/maximumLength`` or later.
    /// - Returns: where in `buffer` the whole frame stands; it ends where `payload` does.
    public static func enclose(
        payload: Range<Int>, in buffer: UnsafeMutableRawBufferPointer, opcode: Opcode, isFinal: Bool = true,
        maskingKey: UInt32?
    ) -> Range<Int> {
        let start = payload.lowerBound - headerLength(payloadLength: payload.count, masked: maskingKey != nil)
        writeHeader(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[start..<payload.lowerBound]), opcode: opcode,
            isFinal: isFinal, payloadLength: payload.count, maskingKey: maskingKey)
        if let maskingKey {
            Masking.apply(maskingKey, to: UnsafeMutableRawBufferPointer(rebasing: buffer[payload]))
        }
        return start..<payload.upperBound
    }

    /// A whole frame in memory of its own: for control frames and tests, not for the data path.
    public static func frame(
        _ opcode: Opcode, isFinal: Bool = true, payload: [UInt8] = [], maskingKey: UInt32?
    ) -> [UInt8] {
        let headerLength = headerLength(payloadLength: payload.count, masked: maskingKey != nil)
        var bytes = [UInt8](repeating: 0, count: headerLength)
        bytes.append(contentsOf: payload)
        let end = bytes.count
        bytes.withUnsafeMutableBytes { buffer in
            _ = enclose(
                payload: headerLength..<end, in: buffer, opcode: opcode, isFinal: isFinal, maskingKey: maskingKey)
        }
        return bytes
    }
}
