/// What is wrong with an HTTP message, as a sentence without the sender's name: "the header section is longer than
/// 16384 bytes".
public struct MalformedHTTP: Error, Sendable, Hashable {
    public var sentence: String

    init(_ sentence: String) { self.sentence = sentence }
}

/// The parts of RFC 9112's grammar that an upgrade needs, read strictly: two readers must not be able to understand one
/// message differently.
enum HTTPSyntax {
    /// Reads what stands before the empty line.
    ///
    /// - Parameter section: start line and fields, each ended by CR LF, without the empty line.
    static func parse(section: ArraySlice<UInt8>) throws(MalformedHTTP) -> (startLine: String, headers: HTTPHeaders) {
        let lines = try split(section)
        guard let startLine = lines.first, let text = printable(startLine) else {
            throw MalformedHTTP("the first line is not text")
        }
        var headers = HTTPHeaders()
        for line in lines.dropFirst() { headers.fields.append(try field(line)) }
        return (text, headers)
    }

    /// Cuts at each CR LF. A CR or LF alone is refused: some readers take it for an end of line and some do not.
    private static func split(_ section: ArraySlice<UInt8>) throws(MalformedHTTP) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        var start = section.startIndex
        var index = start
        while index < section.endIndex {
            switch section[index] {
            case .carriageReturn where index + 1 < section.endIndex && section[index + 1] == .lineFeed:
                lines.append(section[start..<index])
                index += 2
                start = index
            case .carriageReturn, .lineFeed:
                throw MalformedHTTP("a header line does not end with CR LF")
            default:
                index += 1
            }
        }
        if start < index { lines.append(section[start..<index]) }
        return lines
    }

    private static func field(_ line: ArraySlice<UInt8>) throws(MalformedHTTP) -> HTTPHeaders.Field {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
            throw MalformedHTTP("a header line has no colon")
        }
        let name = line[..<colon]
        guard !name.isEmpty, name.allSatisfy(isTokenByte) else {
            throw MalformedHTTP("a header field's name has characters that are not allowed")
        }
        guard let value = printable(line[(colon + 1)...]) else {
            throw MalformedHTTP("a header field's value has control characters")
        }
        return HTTPHeaders.Field(String(decoding: name, as: UTF8.self), trimmed(value))
    }

    /// Bytes as text, unless there are control characters other than tab. What is not UTF-8 is replaced.
    private static func printable(_ bytes: ArraySlice<UInt8>) -> String? {
        guard bytes.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Without the blanks around it.
    static func trimmed(_ text: some StringProtocol) -> String {
        let bytes = Array(text.utf8)
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        let front = bytes.drop(while: isBlank)
        guard let last = front.lastIndex(where: { !isBlank($0) }) else { return "" }
        return String(decoding: front[...last], as: UTF8.self)
    }

    /// RFC 9110, section 5.6.2.
    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default:
            "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    /// Whether a text may stand in a header's value that we write: printable ASCII and blanks, so that neither CR nor LF
    /// can end the line early.
    static func isSafeValue(_ text: String) -> Bool { text.utf8.allSatisfy { (0x20...0x7E).contains($0) } }

    /// Whether a text may stand as the target of a request line that we write, or as a host.
    static func isVisible(_ text: String) -> Bool { text.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
}

extension UInt8 {
    static let carriageReturn = UInt8(ascii: "\r")
    static let lineFeed = UInt8(ascii: "\n")
}
