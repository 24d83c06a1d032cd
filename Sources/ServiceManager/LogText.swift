/// How a message and what belongs to it are written on one line.
enum LogText {
    /// `message key=value key="two words"`.
    static func line(_ message: String, _ fields: [(name: String, value: String)]) -> String {
        fields.reduce(into: oneLine(message)) { line, field in
            line += " \(oneLine(field.name))=\(value(field.value))"
        }
    }

    /// Quoted where its end, or that it is there at all, would else not be seen.
    private static func value(_ text: String) -> String {
        let plain = oneLine(text)
        guard plain.isEmpty || plain.utf8.contains(where: " \"=".utf8.contains) else { return plain }
        return "\"\(plain.replacing("\"", with: "\\\""))\""
    }

    /// A text without what would begin another line, move a terminal's cursor or turn its direction: names come from
    /// users and from the network, and a log must show them as they are.
    static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: mustBeEscaped) else { return text }
        return text.unicodeScalars.reduce(into: "") { result, scalar in
            if mustBeEscaped(scalar) {
                result += scalar.escaped(asASCII: true)
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }

    private static func mustBeEscaped(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0...0x1F, 0x7F...0x9F: true  // control characters
        case 0x2028, 0x2029: true  // line and paragraph separator
        case 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true  // direction
        default: false
        }
    }
}
