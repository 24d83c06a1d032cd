import Basics

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
        guard !text.isEmpty, text.withoutFinalDot.utf8.count <= 253, !text.hasPrefix("."), !text.contains("..") else {
            return false
        }
        return text.utf8.allSatisfy {
            isSmallOrDigit($0) || isSmallOrDigit($0 | 0x20) && $0 >= UInt8(ascii: "A") || "-.".utf8.contains($0)
        }
    }

    private static func isSmallOrDigit(_ byte: UInt8) -> Bool {
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
    }
}
