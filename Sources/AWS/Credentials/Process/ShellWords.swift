/// Splits a line into words as a POSIX shell reads quotes and backslashes, without expanding anything: section names
/// such as `profile "my team"`, and `credential_process` commands, which are run without a shell. Takes time in proportion to the
/// line.
enum ShellWords {
    /// Nil where a quote is not closed or a backslash ends the line.
    static func split(_ line: String) -> [String]? {
        var words: [String] = []
        var word = String.UnicodeScalarView()
        // Quotes make a word of nothing.
        var isWord = false
        var quote: Unicode.Scalar?
        var isEscaped = false
        for scalar in line.unicodeScalars {
            if isEscaped {
                // Inside double quotes a backslash escapes only what would be special there.
                if quote == "\"", scalar != "\"", scalar != "\\" { word.append("\\") }
                word.append(scalar)
                isEscaped = false
            } else if scalar == "\\", quote != "'" {
                isWord = true
                isEscaped = true
            } else if let open = quote {
                if scalar == open { quote = nil } else { word.append(scalar) }
            } else if scalar == "'" || scalar == "\"" {
                quote = scalar
                isWord = true
            } else if scalar.properties.isWhitespace {
                if isWord { words.append(String(word)) }
                word = String.UnicodeScalarView()
                isWord = false
            } else {
                word.append(scalar)
                isWord = true
            }
        }
        guard quote == nil, !isEscaped else { return nil }
        if isWord { words.append(String(word)) }
        return words
    }
}
