import OpenSSL
import Tunnels

/// The name of a forward that was added without one: its target and its remote port, such as `web-1-22`. Pure.
///
/// It is an argument of commands, a part of file names and of log fields, so it keeps to ASCII. A target that the name
/// cannot show, such as a tag in Japanese, gets a digest, so that two targets never share a name for that reason.
enum ForwardNaming {
    /// Digits of the digest: a collision among 500 such targets has a chance of 1 in 10,000.
    private static let digestLength = 8

    static func name(target: String, port: UInt16) -> String {
        let suffix = "-\(port)"
        let bare = target.hasPrefix("[") && target.hasSuffix("]") ? String(target.dropFirst().dropLast()) : target
        // ASCII alone is shown well enough with dashes for blanks, colons and the like.
        let plain = String(bare.map { ForwardSpecification.isValidName(String($0)) ? $0 : "-" }) + suffix
        if bare.utf8.allSatisfy({ $0 < 0x80 }), ForwardSpecification.isAcceptableName(plain),
            bare.utf8.contains(where: isLetterOrDigit)
        {
            return plain
        }
        let digest = Digest.hexadecimal(Digest.sha256(bare.utf8)).prefix(digestLength)
        let room = 64 - suffix.utf8.count - digestLength - 1
        return "\(stem(bare, limit: room))-\(digest)\(suffix)"
    }

    /// The words of a target that ASCII can show, joined by dashes.
    private static func stem(_ text: String, limit: Int) -> String {
        let words = text.split { !ForwardSpecification.isValidName(String($0)) || "-.".contains($0) }
        let stem = words.joined(separator: "-").prefix(limit)
        return stem.isEmpty ? "target" : String(stem)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
