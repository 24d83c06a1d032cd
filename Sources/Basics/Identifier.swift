/// What names that AWS gives look like. An answer that has something else in such a place has nothing there: these texts reach
/// command lines, host names, log fields and hints that people paste.
public enum Identifier {
    /// `i-0123456789abcdef0`: the prefix, then letters, digits and hyphens.
    public static func isResource(_ text: String, prefix: String) -> Bool {
        text.hasPrefix("\(prefix)-") && text.utf8.count > prefix.utf8.count + 1 && isWord(text, longest: 64)
    }

    /// `create-complete`, `eu-west-1a`, `dualstack`: small letters, digits and hyphens, a letter or digit first.
    public static func isWord(_ text: String, longest: Int = 64) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: "-"), text.utf8.count <= longest else { return false }
        return text.utf8.allSatisfy { isSmallOrDigit($0) || $0 == UInt8(ascii: "-") }
    }

    /// A host's name in DNS: letters, digits, hyphens and dots (RFC 1123, section 2.1), at most 253 of them and a final dot.
    public static func isHostName(_ text: String) -> Bool {
        // Pairs of bytes, since a search for text brings a parser of regular expressions into `eicectl proxy`.
        let dot = UInt8(ascii: ".")
        guard !text.isEmpty, text.withoutFinalDot.utf8.count <= 253, text.utf8.first != dot,
            !zip(text.utf8, text.utf8.dropFirst()).contains(where: { $0 == dot && $1 == dot })
        else { return false }
        return text.utf8.allSatisfy {
            isSmallOrDigit($0) || isSmallOrDigit($0 | 0x20) && $0 >= UInt8(ascii: "A") || "-.".utf8.contains($0)
        }
    }

    /// The id of an EC2 Instance Connect Endpoint.
    public static func isEndpoint(_ text: String) -> Bool { isResource(text, prefix: "eice") }

    /// A name that people choose, such as a profile's: up to 512 bytes without control characters.
    public static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= longestName
            && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
    }

    /// A region as its name is written, whether it exists or not: small letters, digits and hyphens.
    public static func isRegion(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= longestID
            && text.utf8.allSatisfy { isSmallOrDigit($0) || $0 == UInt8(ascii: "-") }
    }

    /// Bytes of a name.
    public static let longestName = 512
    /// Bytes of a region's name or an endpoint's id; AWS's have 14 and 22.
    public static let longestID = 64

    private static func isSmallOrDigit(_ byte: UInt8) -> Bool {
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
    }
}
