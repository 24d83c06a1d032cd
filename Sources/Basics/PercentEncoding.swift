/// URI encoding as SigV4 demands it: everything but the unreserved characters of RFC 3986, section 2.3, as `%XX`
/// with capital digits.
public enum PercentEncoding {
    /// The text with everything encoded but the unreserved characters, and the slash where that is kept.
    public static func encode(_ text: String, keepingSlash: Bool = false) -> String {
        var result: [UInt8] = []
        append(text, to: &result, keepingSlash: keepingSlash)
        return String(decoding: result, as: UTF8.self)
    }

    /// Appends what ``encode(_:keepingSlash:)`` returns. A session token has hundreds of bytes, and every tunnel signs it, so this
    /// writes straight into the array's memory.
    public static func append(_ text: String, to result: inout [UInt8], keepingSlash: Bool = false) {
        var text = text
        let encoded = text.withUTF8 { source in
            [UInt8](unsafeUninitializedCapacity: source.count * 3) { target, count in
                for byte in source {
                    if isUnreserved(byte) || keepingSlash && byte == UInt8(ascii: "/") {
                        target[count] = byte
                        count += 1
                    } else {
                        target[count] = UInt8(ascii: "%")
                        target[count + 1] = digit(byte >> 4)
                        target[count + 2] = digit(byte & 15)
                        count += 3
                    }
                }
            }
        }
        result += encoded
    }

    /// `a=1&b=2`, in the order given: a form body.
    public static func form(_ fields: [(String, String)]) -> [UInt8] {
        var result: [UInt8] = []
        for (index, field) in fields.enumerated() {
            if index > 0 { result.append(UInt8(ascii: "&")) }
            append(field.0, to: &result)
            result.append(UInt8(ascii: "="))
            append(field.1, to: &result)
        }
        return result
    }

    /// The bytes that `%XX` stand for; anything else stays as it is.
    public static func decode(_ text: String) -> [UInt8] {
        var result: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                result.append(value)
                rest = rest.dropFirst(2)
            } else {
                result.append(byte)
            }
        }
        return result
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
    }
}
