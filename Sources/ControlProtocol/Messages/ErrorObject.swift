import Failures

/// The `error` member of a reply (JSON-RPC 2.0, section 5.1), which carries a `Failure`.
public struct ErrorObject: Codable, Hashable, Sendable {
    /// A code of JSON-RPC's own below zero, else the exit code that `eicectl` ends with for this kind of failure, so
    /// that a script can pass it on.
    public var code: Int
    /// The one sentence, for who looks at nothing else.
    public var message: String
    /// What a program goes by: `data.kind`.
    public var data: Failure

    public init(_ failure: Failure, code: Int? = nil) {
        self.code = code ?? Self.code(of: failure.kind)
        message = failure.sentence
        data = failure
    }

    /// JSON-RPC 2.0, section 5.1: the line is not JSON.
    public static let parseError = -32700
    /// The line is JSON, but no request.
    public static let invalidRequest = -32600
    public static let methodNotFound = -32601
    public static let invalidParameters = -32602
    public static let internalError = -32603

    static func code(of kind: Failure.Kind) -> Int {
        switch kind {
        case .unknownMethod: methodNotFound
        case .invalidRequest: invalidParameters
        case .lineTooLong: invalidRequest
        case .internal: internalError
        default: Int(kind.exitCode)
        }
    }
}

extension ErrorObject {
    enum CodingKeys: String, CodingKey {
        case code, message, data
    }

    /// Tolerates an error without `data`, as another JSON-RPC program on the path might send one.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        code = try container.decode(Int.self, forKey: .code)
        message = try container.decode(String.self, forKey: .message)
        data = try container.decodeIfPresent(Failure.self, forKey: .data) ?? Failure(.internal, message)
    }
}
