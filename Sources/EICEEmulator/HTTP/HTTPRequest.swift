/// An HTTP/1.1 request as it was received: nothing is normalised, since signatures are checked over the raw text.
struct HTTPRequest: Equatable, Sendable {
    struct Field: Equatable, Sendable {
        /// As sent; compared without regard to case.
        var name: String
        /// Without the white space around it (RFC 9110, section 5.5).
        var value: String
    }

    var method: String
    /// The request target, byte for byte: `/openTunnel?…`.
    var target: String
    var fields: [Field]
    var body: [UInt8] = []

    /// The target up to its question mark.
    var path: Substring { target.prefix { $0 != "?" } }

    /// The target behind its question mark.
    var query: Substring { target.drop { $0 != "?" }.dropFirst() }

    /// The values of every field of that name, joined by commas as RFC 9110, section 5.3, allows.
    func value(of name: String) -> String? {
        let found = fields.filter { $0.name.equalsIgnoringCase(name) }.map(\.value)
        return found.isEmpty ? nil : found.joined(separator: ",")
    }

    /// How many fields of that name there are.
    func count(of name: String) -> Int { fields.count { $0.name.equalsIgnoringCase(name) } }

    /// Whether one of the comma-separated words of a field is this one: `Connection: keep-alive, Upgrade`.
    func field(_ name: String, contains token: String) -> Bool {
        let words = (value(of: name) ?? "").split(separator: ",")
        return words.contains { $0.trimmingBlanks().equalsIgnoringCase(token) }
    }
}

/// Collects a request's bytes until it is whole. No I/O; the caller feeds it whatever came.
struct HTTPRequestParser: Sendable {
    enum Outcome: Equatable, Sendable {
        case needsMore
        case request(HTTPRequest)
        /// The request cannot be understood; the status to answer with, and why.
        case malformed(status: Int, String)
    }

    /// Real requests are below 8 KiB, session tokens included.
    static let longestHead = 64 * 1_024
    static let longestBody = 8 * 1_024 * 1_024

    private var buffer: [UInt8] = []
    /// Where the search for the end of the head goes on.
    private var searched = 0
    private var head: (request: HTTPRequest, bodyStart: Int, bodyLength: Int)?

    init() {}

    /// Bytes behind the request that was returned last.
    var rest: [UInt8] { buffer }

    mutating func feed(_ bytes: some Sequence<UInt8>) -> Outcome {
        buffer += bytes
        return next()
    }

    /// The next whole request of what was fed.
    mutating func next() -> Outcome {
        if head == nil {
            guard let end = endOfHead() else {
                return buffer.count > Self.longestHead ? .malformed(status: 431, "the head is too long") : .needsMore
            }
            switch Self.parseHead(buffer[..<end]) {
            case .success(let request):
                switch Self.bodyLength(of: request) {
                case .success(let length): head = (request, end + 4, length)
                case .failure(let problem): return .malformed(status: problem.status, problem.why)
                }
            case .failure(let problem): return .malformed(status: problem.status, problem.why)
            }
        }
        guard let head, buffer.count >= head.bodyStart + head.bodyLength else { return .needsMore }
        var request = head.request
        let end = head.bodyStart + head.bodyLength
        request.body = Array(buffer[head.bodyStart..<end])
        buffer.removeSubrange(..<end)
        self.head = nil
        searched = 0
        return .request(request)
    }

    private mutating func endOfHead() -> Int? {
        let mark: [UInt8] = [13, 10, 13, 10]
        guard buffer.count >= mark.count else { return nil }
        for index in searched...(buffer.count - mark.count) where buffer[index..<index + 4].elementsEqual(mark) {
            return index
        }
        searched = buffer.count - mark.count + 1
        return nil
    }

    private struct Problem: Error {
        var status: Int
        var why: String
    }

    private static func parseHead(_ bytes: ArraySlice<UInt8>) -> Result<HTTPRequest, Problem> {
        guard let text = String(validating: bytes, as: UTF8.self), text.utf8.allSatisfy({ $0 != 0 }) else {
            return .failure(Problem(status: 400, why: "the head is not text"))
        }
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
        let start = lines[0].split(separator: " ", omittingEmptySubsequences: false)
        guard start.count == 3, !start[0].isEmpty, start[1].hasPrefix("/"), start[2] == "HTTP/1.1" else {
            return .failure(Problem(status: 400, why: "the request line is malformed"))
        }
        var request = HTTPRequest(method: String(start[0]), target: String(start[1]), fields: [])
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":"), colon > line.startIndex,
                !line[..<colon].contains(where: { $0 == " " || $0 == "\t" })
            else { return .failure(Problem(status: 400, why: "a header field is malformed")) }
            request.fields.append(
                HTTPRequest.Field(
                    name: String(line[..<colon]), value: String(line[line.index(after: colon)...].trimmingBlanks())))
        }
        return .success(request)
    }

    private static func bodyLength(of request: HTTPRequest) -> Result<Int, Problem> {
        guard request.value(of: "Transfer-Encoding") == nil else {
            return .failure(Problem(status: 411, why: "a body must come with its Content-Length"))
        }
        guard let text = request.value(of: "Content-Length") else { return .success(0) }
        guard let length = Int(text), length >= 0, length <= longestBody else {
            return .failure(Problem(status: 413, why: "Content-Length is no length that is accepted here"))
        }
        return .success(length)
    }
}

/// An HTTP/1.1 response with its whole body.
struct HTTPResponse: Equatable, Sendable {
    var status: Int
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []

    static func == (left: HTTPResponse, right: HTTPResponse) -> Bool { left.encoded() == right.encoded() }

    /// The head and the body as they go over the wire. `Content-Length` is added where a body may stand.
    func encoded() -> [UInt8] {
        var text = "HTTP/1.1 \(status) \(Self.phrase(status))\r\n"
        for field in fields { text += "\(field.name): \(field.value)\r\n" }
        if status != 101, status != 204 { text += "Content-Length: \(body.count)\r\n" }
        text += "\r\n"
        return Array(text.utf8) + body
    }

    static func phrase(_ status: Int) -> String {
        switch status {
        case 101: "Switching Protocols"
        case 200: "OK"
        case 204: "No Content"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        default: "Status"
        }
    }
}

extension StringProtocol {
    func equalsIgnoringCase(_ other: some StringProtocol) -> Bool {
        utf8.count == other.utf8.count
            && zip(utf8, other.utf8).allSatisfy { $0 == $1 || Self.lower($0) == Self.lower($1) }
    }

    private static func lower(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte | 0x20 : byte }

    /// Without spaces and tabs at both ends (OWS of RFC 9110).
    func trimmingBlanks() -> SubSequence {
        var text = self[...]
        while let first = text.first, first == " " || first == "\t" { text = text.dropFirst() }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return text
    }
}
