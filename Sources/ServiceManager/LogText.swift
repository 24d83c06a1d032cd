import Failures

/// How a message and what belongs to it are written on one line.
enum LogText {
    /// `message key=value key="two words"`.
    static func line(_ message: String, _ fields: [(name: String, value: String)]) -> String {
        fields.reduce(into: ForeignText.line(message)) { line, field in
            line += " \(ForeignText.line(field.name))=\(value(field.value))"
        }
    }

    /// Quoted where its end, or that it is there at all, would else not be seen.
    private static func value(_ text: String) -> String {
        let plain = ForeignText.line(text)
        guard plain.isEmpty || plain.utf8.contains(where: " \"=".utf8.contains) else { return plain }
        return "\"\(plain.replacing("\"", with: "\\\""))\""
    }
}
