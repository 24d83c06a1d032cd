import Basics
import OpenSSL

/// AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API request"), as a presigned query and as
/// headers. Pure: the time is an argument, nothing is kept.
public struct RequestSigner: Sendable {
    public let credentials: Credentials
    public let region: String
    public let service: String

    private static let algorithm = "AWS4-HMAC-SHA256"

    public init(credentials: Credentials, region: String, service: String) {
        self.credentials = credentials
        self.region = region
        self.service = service
    }

    /// The query of a presigned request, without `?`: the given parameters, SigV4's own and, last, the signature.
    /// `host` is the one signed header, written as the Host header will be (with the port unless it is the
    /// scheme's own). `path` stands as the request line will have it. `lifetime` is in seconds.
    public func presignedQuery(
        method: String = "GET",
        host: String,
        path: String,
        parameters: [(String, String)],
        lifetime: Int,
        at time: WallTime
    ) -> String {
        let date = time.amzDate
        let scope = scope(date: date)
        var parameters = parameters
        parameters.append(("X-Amz-Algorithm", Self.algorithm))
        parameters.append(("X-Amz-Credential", "\(credentials.accessKeyID)/\(scope)"))
        parameters.append(("X-Amz-Date", date))
        parameters.append(("X-Amz-Expires", String(lifetime)))
        if let token = credentials.sessionToken { parameters.append(("X-Amz-Security-Token", token)) }
        parameters.append(("X-Amz-SignedHeaders", "host"))
        let query = CanonicalRequest.query(parameters)
        let canonical = CanonicalRequest(
            method: method, path: path, query: query, headers: [("host", host)], payloadHash: Self.emptyHash)
        return query + "&X-Amz-Signature=" + signature(of: canonical, date: date, scope: scope)
    }

    /// The headers that a header-signed request has beside the given ones: `X-Amz-Date`, `X-Amz-Security-Token` with
    /// temporary credentials, `Authorization`. All given headers are signed; `Host` is given as `host`, and must be
    /// sent as that.
    public func signedHeaders(
        method: String,
        host: String,
        path: String,
        parameters: [(String, String)] = [],
        headers: [(String, String)] = [],
        body: [UInt8] = [],
        at time: WallTime
    ) -> [(String, String)] {
        let date = time.amzDate
        let scope = scope(date: date)
        var added = [("X-Amz-Date", date)]
        if let token = credentials.sessionToken { added.append(("X-Amz-Security-Token", token)) }
        let canonical = CanonicalRequest(
            method: method,
            path: path,
            query: CanonicalRequest.query(parameters),
            headers: headers + added + [("Host", host)],
            payloadHash: body.isEmpty ? Self.emptyHash : Digest.hexadecimal(Digest.sha256(body)))
        let signature = signature(of: canonical, date: date, scope: scope)
        added.append(
            (
                "Authorization",
                "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope), "
                    + "SignedHeaders=\(canonical.signedHeaders), Signature=\(signature)"
            ))
        return added
    }

    private static let emptyHash = Digest.hexadecimal(Digest.sha256([]))

    private func scope(date: String) -> String { "\(date.prefix(8))/\(region)/\(service)/aws4_request" }

    private func signature(of request: CanonicalRequest, date: String, scope: String) -> String {
        let toSign =
            Self.algorithm + "\n" + date + "\n" + scope + "\n"
            + Digest.hexadecimal(Digest.sha256(request.text.utf8))
        var key: [UInt8] = []
        // At once, since growing leaves copies behind.
        key.reserveCapacity(4 + credentials.secretAccessKey.utf8.count)
        key += "AWS4".utf8
        key += credentials.secretAccessKey.utf8
        for part in [String(date.prefix(8)), region, service, "aws4_request", toSign] {
            var spent = key
            key = Digest.hmacSHA256(key: spent, message: part.utf8)
            Digest.erase(&spent)
        }
        return Digest.hexadecimal(key)
    }
}

/// The text that SigV4 hashes ("Create a canonical request").
struct CanonicalRequest {
    let text: String
    /// The names of the signed headers, sorted, joined by `;`.
    let signedHeaders: String

    /// `query` must be canonical already.
    init(method: String, path: String, query: String, headers: [(String, String)], payloadHash: String) {
        var values: [String: [String]] = [:]
        for (name, value) in headers { values[name.lowercased(), default: []].append(Self.trim(value)) }
        let names = values.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        signedHeaders = names.joined(separator: ";")
        var text = method + "\n" + Self.path(path) + "\n" + query + "\n"
        for name in names {
            text += name + ":" + (values[name] ?? []).joined(separator: ",") + "\n"
        }
        self.text = text + "\n" + signedHeaders + "\n" + payloadHash
    }

    /// Parameters encoded, then sorted by encoded name, then by encoded value.
    static func query(_ parameters: [(String, String)]) -> String {
        var pairs: [(name: [UInt8], value: [UInt8])] = []
        var length = 0
        for (name, value) in parameters {
            var pair: (name: [UInt8], value: [UInt8]) = ([], [])
            PercentEncoding.append(name, to: &pair.name)
            PercentEncoding.append(value, to: &pair.value)
            length += pair.name.count + pair.value.count + 2
            pairs.append(pair)
        }
        pairs.sort { a, b in
            a.name == b.name ? a.value.lexicographicallyPrecedes(b.value) : a.name.lexicographicallyPrecedes(b.name)
        }
        var query: [UInt8] = []
        query.reserveCapacity(length)
        for pair in pairs {
            if !query.isEmpty { query.append(UInt8(ascii: "&")) }
            query += pair.name
            query.append(UInt8(ascii: "="))
            query += pair.value
        }
        return String(decoding: query, as: UTF8.self)
    }

    /// Dot segments and empty segments removed (RFC 3986, section 5.2.4), then encoded once more, as every service
    /// but S3 wants it.
    static func path(_ path: String) -> String {
        var segments: [Substring] = []
        for segment in path.split(separator: "/") {
            switch segment {
            case ".": continue
            case "..": _ = segments.popLast()
            default: segments.append(segment)
            }
        }
        var normal = "/" + segments.joined(separator: "/")
        if !segments.isEmpty, path.hasSuffix("/") || path.hasSuffix("/.") || path.hasSuffix("/..") { normal += "/" }
        return PercentEncoding.encode(normal, keepingSlash: true)
    }

    /// Without blanks at both ends, and runs of blanks inside as one.
    private static func trim(_ value: String) -> String {
        guard value.utf8.contains(where: { $0 == 32 || $0 == 9 || $0 == 10 || $0 == 13 }) else { return value }
        return value.split(whereSeparator: { $0.isWhitespace }).joined(separator: " ")
    }
}
