/// Checks UTF-8 (RFC 3629) that comes in parts split anywhere, and fails at the first byte that no valid text can have
/// there: a text message is refused as early as it can be (RFC 6455, section 8.1).
public struct UTF8Validator: Sendable {
    /// How many continuation bytes the character at hand still needs.
    private var missing = 0
    /// The values that the next continuation byte may have: narrower than 80–BF after the lead bytes whose second byte
    /// would else allow overlong forms, surrogates or more than U+10FFFF.
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xBF

    public init() {}

    /// Whether the text may end here, that is, not inside a character.
    public var isComplete: Bool { missing == 0 }

    /// Takes the next part. False means that it is not UTF-8; the validator is of no use afterwards.
    public mutating func consume(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < bytes.count {
            if missing == 0, index + 8 <= bytes.count,
                bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                index += 8
                continue
            }
            guard take(bytes[index]) else { return false }
            index += 1
        }
        return true
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard missing == 0 else {
            guard (lowest...highest).contains(byte) else { return false }
            missing -= 1
            (lowest, highest) = (0x80, 0xBF)
            return true
        }
        switch byte {
        case 0x00...0x7F: break
        case 0xC2...0xDF: missing = 1
        case 0xE0: (missing, lowest) = (2, 0xA0)
        case 0xED: (missing, highest) = (2, 0x9F)
        case 0xE1...0xEF: missing = 2
        case 0xF0: (missing, lowest) = (3, 0x90)
        case 0xF4: (missing, highest) = (3, 0x8F)
        case 0xF1...0xF3: missing = 3
        default: return false
        }
        return true
    }
}
