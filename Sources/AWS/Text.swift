/// Foreign text as messages may carry it.
public enum Text {
    /// On one line, without control characters that could fool a terminal, and cut after `limit` characters.
    public static func excerpt(_ text: String, limit: Int = 1_000) -> String {
        var result = ""
        var count = 0
        for scalar in text.trimmingWhitespace().unicodeScalars {
            guard count < limit else { return result + "…" }
            count += 1
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
                result += scalar == "\n" || scalar == "\t" ? " " : "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
