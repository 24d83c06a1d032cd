/// Which side's message is read, and so how strictly.
enum HTTPMessageKind: Sendable {
    /// A client's: strictly, because two servers must not understand one request differently (RFC 9112, section 11.2).
    case request
    /// A server's: as libcurl reads it, which makes the API calls over the same proxies. NUL and a CR alone stay refused
    /// (RFC 9112, section 2.2, and RFC 9110, section 5.5).
    case response

    /// The longest head, in bytes: for requests what common servers allow, for responses what libcurl allows
    /// (MAX_HTTP_RESP_HEADER_SIZE).
    var longestHead: Int {
        switch self {
        case .request: 16 * 1_024
        case .response: 300 * 1_024
        }
    }
}

/// Collects the head of an HTTP message, up to the empty line, out of parts split anywhere.
struct HTTPHeadReader: Sendable {
    private var collected: [UInt8] = []
    private let kind: HTTPMessageKind
    /// The first bytes of every message of this kind; a peer that speaks another protocol is noticed at once.
    private let prefix: [UInt8]

    init(_ kind: HTTPMessageKind) {
        self.kind = kind
        prefix = kind == .response ? Array("HTTP/1.".utf8) : []
    }

    /// Takes the next part.
    ///
    /// - Returns: the head without its empty line, and how many bytes of `bytes` belong to it; nil when the head is not
    ///   complete and all of `bytes` was taken.
    mutating func feed(_ bytes: UnsafeRawBufferPointer) throws(MalformedHTTP) -> (head: [UInt8], used: Int)? {
        let before = collected.count
        // At most one byte over the limit is kept, however many come.
        collected.append(contentsOf: bytes.prefix(kind.longestHead + 1 - before))
        guard zip(collected, prefix).allSatisfy(==) else { throw MalformedHTTP("this is not HTTP") }
        guard let (head, end) = endOfHead(from: max(0, before - 3)) else {
            guard collected.count <= kind.longestHead else {
                throw MalformedHTTP("the header section is longer than \(kind.longestHead) bytes")
            }
            return nil
        }
        defer { collected = [] }
        return (Array(collected[..<head]), end - before)
    }

    /// Where the lines of the head end, and where the empty line behind them does.
    private func endOfHead(from start: Int) -> (head: Int, end: Int)? {
        var index = start
        while let feed = collected[index...].firstIndex(of: .lineFeed) {
            index = feed + 1
            guard index < collected.count else { return nil }
            let hasReturn = collected[index] == .carriageReturn
            let end = index + (hasReturn ? 1 : 0)
            guard end < collected.count, collected[end] == .lineFeed else { continue }
            let isStrict = hasReturn && feed > 0 && collected[feed - 1] == .carriageReturn
            if isStrict || kind == .response { return (index, end + 1) }
        }
        return nil
    }
}
