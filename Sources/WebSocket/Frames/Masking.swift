/// The masking of a client's payload (RFC 6455, section 5.3): byte i is xor-ed with byte i mod 4 of the key.
///
/// A key is a `UInt32` whose least significant byte is the first on the wire, whatever the machine's own order is.
public enum Masking {
    /// Masks `bytes` in place; done a second time it unmasks.
    ///
    /// - Parameters:
    ///   - key: the frame's key.
    ///   - bytes: any part of the payload; it needs no alignment.
    ///   - offset: where in the frame's payload `bytes` begins, so that a payload may be done in parts.
    public static func apply(_ key: UInt32, to bytes: UnsafeMutableRawBufferPointer, offset: Int = 0) {
        guard var pointer = bytes.baseAddress, key != 0 else { return }
        let end = pointer + bytes.count

        // From here on the key is turned so that its first byte meets the first of `bytes`.
        let turn = UInt32(truncatingIfNeeded: offset & 3) &* 8
        let turned = key &>> turn | key &<< ((32 &- turn) & 31)
        let word = (UInt64(turned) | UInt64(turned) << 32).littleEndian

        // As vectors, since the optimiser makes none of single words. A step keeps the key's turn, since 4 divides it.
        let words = SIMD8<UInt64>(repeating: word)
        while pointer + 64 <= end {
            let masked = pointer.loadUnaligned(as: SIMD8<UInt64>.self) ^ words
            pointer.storeBytes(of: masked, as: SIMD8<UInt64>.self)
            pointer += 64
        }
        while pointer + 8 <= end {
            pointer.storeBytes(of: pointer.loadUnaligned(as: UInt64.self) ^ word, as: UInt64.self)
            pointer += 8
        }
        var rest = turned
        while pointer < end {
            let byte = pointer.load(as: UInt8.self) ^ UInt8(truncatingIfNeeded: rest)
            pointer.storeBytes(of: byte, as: UInt8.self)
            rest = rest &>> 8 | rest &<< 24
            pointer += 1
        }
    }
}
