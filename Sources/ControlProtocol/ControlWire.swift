import FoundationEssentials

/// Values to lines and back: one JSON object, one newline.
public enum ControlWire {
    /// The most bytes that a request's line may have, its newline not counted.
    public static let maximumLineLength = 1 << 20
    /// The most bytes that a client takes for a line: five thousand tunnels do not fit into a mebibyte.
    public static let maximumReplyLength = 64 << 20
    static let newline = UInt8(ascii: "\n")

    /// `value` as a line with its newline. JSON strings escape newlines, so there is no other in it.
    public static func line(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        var bytes = [UInt8](try encoder.encode(value))
        bytes.append(newline)
        return bytes
    }

    public static func decode<Value: Decodable>(_: Value.Type, from line: some Collection<UInt8>) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(line))
    }
}
