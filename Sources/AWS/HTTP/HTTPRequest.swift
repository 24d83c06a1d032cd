import Basics

/// One request of the control plane.
public struct HTTPRequest: Sendable {
    public var method: String
    /// Absolute, `http` or `https`.
    public var url: String
    public var headers: [(String, String)]
    public var body: [UInt8]
    /// From the call to the last byte of the answer.
    public var timeout: Duration
    /// For name look-up, TCP, proxy and TLS.
    public var connectTimeout: Duration
    /// The proxy's URL; nil for a direct connection. libcurl's own look at the environment is off.
    public var proxy: String?
    /// A file of PEM certificates instead of the system's trust roots.
    public var trustRoots: String?
    /// The bytes of ``trustRoots``, which ``HTTPClient`` reads: libcurl's one thread must not wait for a file.
    var certificates: [UInt8]?
    /// What the call is for, for messages: "DescribeInstances", "the credentials of role …".
    public var purpose: String
    /// What in the body nobody may see. It is taken out of an error that repeats it, as what the headers carry is.
    public var secrets: [String]

    public init(
        method: String = "GET",
        url: String,
        headers: [(String, String)] = [],
        body: [UInt8] = [],
        timeout: Duration = .seconds(20),
        connectTimeout: Duration = .seconds(10),
        proxy: String? = nil,
        trustRoots: String? = nil,
        purpose: String,
        secrets: [String] = []
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeout = timeout
        self.connectTimeout = connectTimeout
        self.proxy = proxy
        self.trustRoots = trustRoots
        self.purpose = purpose
        self.secrets = secrets
    }

    private static let secretHeaders: Set = [
        "authorization", "x-amz-security-token", "x-amz-sso_bearer_token", "x-aws-ec2-metadata-token",
    ]

    /// What an answer must not repeat: of a signature (SigV4) the key's id and the signature alone, since everything else in that
    /// header stands in many an error message; of other headers their values, with and without a scheme.
    var allSecrets: [String] {
        secrets
            + headers.filter { Self.secretHeaders.contains($0.0.lowercased()) }.flatMap { _, value in
                func part(after start: String) -> Substring? { value.range(of: start).map { value[$0.upperBound...] } }
                let parts: [Substring?] =
                    value.hasPrefix("AWS4-")
                    ? [part(after: "Credential=")?.prefix { $0 != "/" }, part(after: "Signature=")]
                    : [part(after: " "), value[...]]
                return parts.compactMap { $0.map(String.init) }
            }
    }

    /// Host and port as the URL has them, for messages.
    public var authority: String {
        guard let start = url.range(of: "://")?.upperBound else { return url }
        let rest = url[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        return String(rest.split(separator: "@").last ?? rest)
    }
}

public struct HTTPResponse: Sendable {
    public var status: Int
    /// In the order they came, trailers included; names as they were sent.
    public var headers: [(String, String)]
    public var body: [UInt8]
    /// Knows what the request had of secrets, where they are still in the answer: a success may have one to give that was sent as
    /// well, as a token that goes on being good.
    var sent = Redaction.none

    public init(status: Int, headers: [(String, String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The first header of that name, in any case.
    public func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.0.lowercased() == name }?.1
    }

    public var text: String { String(decoding: body, as: UTF8.self) }

    /// The answer to a request with these secrets: without them, where it is no success.
    func answering(_ secrets: [String]) -> HTTPResponse {
        let sent = Redaction(secrets)
        guard !(200..<300).contains(status) else {
            var copy = self
            copy.sent = sent
            return copy
        }
        let windows = sent.windows
        return HTTPResponse(
            status: status, headers: headers.map { (windows.removed(from: $0.0), windows.removed(from: $0.1)) },
            body: windows.removed(from: body))
    }
}

extension StringProtocol {
    /// The first occurrence of `other`, without Foundation.
    func range(of other: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(other) { return start..<index(start, offsetBy: other.count) }
            start = index(after: start)
        }
        return nil
    }
}

extension HTTPRequest: CustomStringConvertible, CustomReflectable {
    /// Headers, bodies and queries hold secrets and are not shown.
    public var description: String { "\(method) \(authority) (\(purpose))" }
    public var customMirror: Mirror { Mirror(self, children: ["request": description]) }
}

extension HTTPResponse: CustomStringConvertible, CustomReflectable {
    public var description: String { "HTTP \(status), \(body.count) bytes" }
    public var customMirror: Mirror { Mirror(self, children: ["response": description]) }
}
