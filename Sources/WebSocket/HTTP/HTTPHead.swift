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

    /// Reads status line and fields (RFC 9112, section 4), as libcurl does: any HTTP/1 version, any blanks behind it, and
    /// anything but a fourth digit behind the status.
    ///
    /// - Parameter head: all before the empty line.
    init(parsing head: [UInt8]) throws(MalformedHTTP) {
        let (line, headers) = try HTTPSyntax.parse(section: head[...], of: .response)
        let bytes = Array(line.utf8)
        let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
        // "HTTP/1." is there already.
        let version = bytes.prefix { !HTTPSyntax.isBlank($0) }
        let rest = bytes.dropFirst(version.count).drop { HTTPSyntax.isBlank($0) }
        let digits = rest.prefix(3)
        guard version.count == 8, version.starts(with: "HTTP/1.".utf8), version.last.map(isDigit) == true,
            digits.count == 3, digits.allSatisfy(isDigit), let status = Int(String(decoding: digits, as: UTF8.self)),
            status >= 100, rest.dropFirst(3).first.map(isDigit) != true
        else { throw MalformedHTTP("the status line is malformed") }
        guard status != 101 || version.last != UInt8(ascii: "0") else { throw MalformedHTTP("HTTP/1.0 cannot upgrade") }
        let reason = HTTPSyntax.trimmed(String(decoding: rest.dropFirst(3), as: UTF8.self))
        self.init(status: status, reason: reason, headers: headers)
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
