/// Collects the body of a refusal, to be shown to a person: at most 64 KiB of it (RFC 9112, sections 6 and 7).
struct HTTPBodyReader: Sendable {
    /// The most that is kept, in bytes; a longer body ends there.
    static let limit = 64 * 1_024

    private enum Framing {
        case length(remaining: Int)
        case chunkSize([UInt8])
        case chunk(remaining: Int)
        /// The end of line behind a chunk's bytes, of which a CR came already or not.
        case chunkEnd(hasReturn: Bool)
        case untilClosed
        case done
    }

    private(set) var body: [UInt8] = []
    private var framing: Framing

    init(head: HTTPResponseHead) throws(MalformedHTTP) {
        if head.status == 204 || head.status == 304 {
            framing = .done
        } else if ![[], ["identity"]].contains(head.headers.tokens("Transfer-Encoding")) {
            guard head.headers.tokens("Transfer-Encoding") == ["chunked"] else {
                throw MalformedHTTP("the body has an unknown transfer encoding")
            }
            framing = .chunkSize([])
        } else if !head.headers.values("Content-Length").isEmpty {
            let lengths = head.headers.values("Content-Length").flatMap {
                $0.split(separator: ",", omittingEmptySubsequences: false).map { Self.length(HTTPSyntax.trimmed($0)) }
            }
            guard Set(lengths).count == 1, let length = lengths[0] else {
                throw MalformedHTTP("the Content-Length is not a number")
            }
            framing = length == 0 ? .done : .length(remaining: length)
        } else {
            framing = .untilClosed
        }
    }

    /// The number that a text begins with, as libcurl reads it: nothing follows a refusal on this connection, so no other reader can
    /// understand its length differently. More than an Int holds is as good as no end.
    private static func length(_ text: String) -> Int? {
        let digits = (text.hasPrefix("+") ? text.dropFirst() : text[...]).prefix { $0.isASCII && $0.isWholeNumber }
        return digits.isEmpty ? nil : Int(digits) ?? .max
    }

    var isDone: Bool {
        if case .done = framing { return true }
        return body.count >= Self.limit
    }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) throws(MalformedHTTP) {
        var rest = bytes[...]
        while !rest.isEmpty, !isDone { try step(&rest) }
    }

    private mutating func step(_ rest: inout Slice<UnsafeRawBufferPointer>) throws(MalformedHTTP) {
        switch framing {
        case .done: break
        case .untilClosed: take(rest.count, &rest)
        case .length(let remaining):
            let left = remaining - take(remaining, &rest)
            framing = left == 0 ? .done : .length(remaining: left)
        case .chunk(let remaining):
            let left = remaining - take(remaining, &rest)
            framing = left == 0 ? .chunkEnd(hasReturn: false) : .chunk(remaining: left)
        case .chunkEnd(let hasReturn):
            switch rest.removeFirst() {
            case .lineFeed: framing = .chunkSize([])
            case .carriageReturn where !hasReturn: framing = .chunkEnd(hasReturn: true)
            default: throw MalformedHTTP("a chunk of the body does not end where its size says")
            }
        case .chunkSize(var line):
            line.append(rest.removeFirst())
            guard line.last == .lineFeed else {
                guard line.count <= 256 else { throw MalformedHTTP("a chunk's size line is too long") }
                framing = .chunkSize(line)
                return
            }
            // Extensions stand behind a semicolon; trailers behind the last chunk tell a person nothing.
            let size = HTTPSyntax.trimmed(
                String(decoding: line.dropLast().prefix { $0 != 0x3B && $0 != 0x0D }, as: UTF8.self))
            guard !size.isEmpty, size.utf8.count <= 15, !size.hasPrefix("+"), !size.hasPrefix("-"),
                let length = Int(size, radix: 16)
            else { throw MalformedHTTP("a chunk's size is not a number") }
            framing = length == 0 ? .done : .chunk(remaining: length)
        }
    }

    @discardableResult
    private mutating func take(_ count: Int, _ rest: inout Slice<UnsafeRawBufferPointer>) -> Int {
        let part = rest.prefix(count)
        body.append(contentsOf: part.prefix(Self.limit - body.count))
        rest = rest.dropFirst(part.count)
        return part.count
    }
}
