/// The `id` of a JSON-RPC 2.0 request (section 4 of its specification): a number or a string, returned verbatim.
public enum RequestID: Hashable, Sendable {
    case number(Int)
    case string(String)
    /// Only in error replies to what could not be read far enough to find an id (section 5).
    case null
}

extension RequestID: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let number = try? container.decode(Int.self) {
            self = .number(number)
        } else {
            self = .string(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let number): try container.encode(number)
        case .string(let text): try container.encode(text)
        case .null: try container.encodeNil()
        }
    }
}
