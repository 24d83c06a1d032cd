/// Header fields in the order they came. Names are compared without case (RFC 9110, section 5.1).
public struct HTTPHeaders: Sendable, Hashable {
    public struct Field: Sendable, Hashable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public var fields: [Field]

    public init(_ fields: [Field] = []) { self.fields = fields }

    /// The value of the first field of this name.
    public subscript(name: String) -> String? { values(name).first }

    /// The values of all fields of this name.
    public func values(_ name: String) -> [String] {
        let name = name.lowercased()
        return fields.filter { $0.name.lowercased() == name }.map(\.value)
    }

    /// The members of a comma-separated list, over all fields of this name, in small letters (RFC 9110, section 5.6.1).
    public func tokens(_ name: String) -> [String] {
        values(name).flatMap { $0.split(separator: ",") }
            .map { HTTPSyntax.trimmed($0).lowercased() }
            .filter { !$0.isEmpty }
    }
}

/// The status line and fields of a response.
public struct HTTPResponseHead: Sendable, Hashable {
    public var status: Int
    /// As the server worded it; may be empty.
    public var reason: String
    public var headers: HTTPHeaders

    public init(status: Int, reason: String, headers: HTTPHeaders) {
        self.status = status
        self.reason = reason
        self.headers = headers
    }

    /// Reads status line and fields (RFC 9112, section 4).
    ///
    /// - Parameter head: all before the empty line.
    init(parsing head: [UInt8]) throws(MalformedHTTP) {
        let (line, headers) = try HTTPSyntax.parse(section: head[...])
        let parts = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, ["HTTP/1.1", "HTTP/1.0"].contains(parts[0]), parts[1].utf8.count == 3,
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let status = Int(parts[1]), status >= 100
        else { throw MalformedHTTP("the status line is malformed") }
        guard status != 101 || parts[0] == "HTTP/1.1" else { throw MalformedHTTP("HTTP/1.0 cannot upgrade") }
        self.init(status: status, reason: parts.count == 3 ? String(parts[2]) : "", headers: headers)
    }
}

/// The request line and fields of a request.
public struct HTTPRequestHead: Sendable, Hashable {
    public var method: String
    /// Path and query as they were sent, percent-encoding untouched: what a signature is computed over.
    public var target: String
    public var headers: HTTPHeaders

    public init(method: String, target: String, headers: HTTPHeaders) {
        self.method = method
        self.target = target
        self.headers = headers
    }
}
