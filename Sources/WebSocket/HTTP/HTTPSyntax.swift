/// What is wrong with an HTTP message, as a sentence without the sender's name: "the header section is longer than
/// 16384 bytes".
public struct MalformedHTTP: Error, Sendable, Hashable {
    public var sentence: String

    init(_ sentence: String) { self.sentence = sentence }
}

/// The parts of RFC 9112's grammar that an upgrade needs.
enum HTTPSyntax {
    /// Reads the lines before the empty line.
    ///
    /// - Parameter section: start line and fields, each with its end of line, without the empty line.
    static func parse(
        section: ArraySlice<UInt8>, of kind: HTTPMessageKind
    ) throws(MalformedHTTP) -> (startLine: String, headers: HTTPHeaders) {
        let lines = kind == .request ? try split(section)[...] : try splitLeniently(section)
        guard let startLine = lines.first, let text = printable(startLine, of: kind) else {
            throw MalformedHTTP("the first line is not text")
        }
        var headers = HTTPHeaders()
        for line in lines.dropFirst() {
            if let field = try field(line, of: kind) { headers.fields.append(field) }
        }
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

    /// Cuts at each LF, with or without a CR before it (RFC 9112, section 2.2), and joins folded lines with a blank
    /// (section 5.2). A line right behind the start line continues nothing.
    private static func splitLeniently(
        _ section: ArraySlice<UInt8>
    ) throws(MalformedHTTP) -> ArraySlice<ArraySlice<UInt8>> {
        var lines: [ArraySlice<UInt8>] = []
        for var line in section.split(separator: .lineFeed, omittingEmptySubsequences: false) {
            if line.last == .carriageReturn { line.removeLast() }
            guard !line.contains(.carriageReturn) else {
                throw MalformedHTTP("a header line has a carriage return in it")
            }
            if let first = line.first, isBlank(first), lines.count > 1 {
                lines[lines.count - 1] += [0x20] + line
            } else {
                lines.append(line)
            }
        }
        // The last end of line ends the last line and begins none.
        return lines.last?.isEmpty == true ? lines.dropLast() : lines[...]
    }

    /// - Returns: nil for a field of a response whose name is no token: nothing of ours is called so, and libcurl passes
    ///   over it.
    private static func field(
        _ line: ArraySlice<UInt8>, of kind: HTTPMessageKind
    ) throws(MalformedHTTP) -> HTTPHeaders.Field? {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
            throw MalformedHTTP("a header line has no colon")
        }
        guard let value = printable(line[(colon + 1)...], of: kind) else {
            throw MalformedHTTP("a header field's value has control characters")
        }
        var name = line[..<colon]
        if kind == .response {
            if let first = name.first, isBlank(first) { throw MalformedHTTP("the first header line is folded") }
            // RFC 9112, section 5.1: in a response the blanks before the colon are removed.
            while let last = name.last, isBlank(last) { name.removeLast() }
        }
        guard !name.isEmpty, name.allSatisfy(isTokenByte) else {
            if kind == .response, !name.contains(0) { return nil }
            throw MalformedHTTP("a header field's name has characters that are not allowed")
        }
        return HTTPHeaders.Field(String(decoding: name, as: UTF8.self), trimmed(value))
    }

    /// Bytes as text, with U+FFFD for what is not UTF-8. Control characters other than tab make it nil in a request; in a
    /// response each becomes a blank (RFC 9110, section 5.5), but for NUL.
    private static func printable(_ bytes: ArraySlice<UInt8>, of kind: HTTPMessageKind) -> String? {
        func isControl(_ byte: UInt8) -> Bool { byte < 0x20 && byte != 0x09 || byte == 0x7F }
        guard bytes.contains(where: isControl) else { return String(decoding: bytes, as: UTF8.self) }
        guard kind == .response, !bytes.contains(0) else { return nil }
        return String(decoding: bytes.map { isControl($0) ? 0x20 : $0 }, as: UTF8.self)
    }

    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// Without the blanks around it.
    static func trimmed(_ text: some StringProtocol) -> String {
        let bytes = Array(text.utf8)
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
