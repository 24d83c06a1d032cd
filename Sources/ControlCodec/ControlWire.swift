import ControlProtocol
import FoundationEssentials

/// Values to lines and back.
extension ControlWire {
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
