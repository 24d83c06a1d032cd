/// Text that came from elsewhere, made harmless: Name tags, answers of services, reasons of endpoints and proxies, names of
/// processes. This is the one place that decides which characters a terminal, a log or a line of JSON may get to see.
///
/// Works on scalars, never on `Character`s: "\r\n" is one `Character`, and so is a letter with any number of marks.
public enum ForeignText {
    /// Longer than any text that is worth reading in one line.
    public static let longestLine = 8_192

    /// Whether a scalar can move a cursor, start a line, hide or reorder what stands beside it: C0, DEL and C1 (General
    /// Category Cc), format and direction characters (Cf), line and paragraph separator (Zl, Zp). Unicode 15.
    ///
    /// A list of ranges and not `properties.generalCategory`, whose tables `eicectl` would carry for this alone.
    public static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x20...0x7E: false
        case 0...0x9F: true
        case 0xAD, 0x600...0x605, 0x61C, 0x6DD, 0x70F, 0x890...0x891, 0x8E2, 0x180E: true
        case 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF, 0xFFF9...0xFFFB: true
        case 0x110BD, 0x110CD, 0x13430...0x1343F, 0x1BCA0...0x1BCA3, 0x1D173...0x1D17A, 0xE0000...0xE007F: true
        default: false
        }
    }

    /// The text on one line, each unsafe scalar visible as Swift writes it (`\n`, `\u{1B}`), cut after `limit` scalars.
    public static func line(_ text: String, limit: Int = longestLine) -> String {
        let scalars = text.unicodeScalars
        // Nearly all text is harmless and short.
        if text.utf8.count <= limit, text.utf8.allSatisfy({ 0x20...0x7E ~= $0 }) { return text }
        var result = ""
        for (count, scalar) in scalars.enumerated() {
            guard count < limit else { return result + "…" }
            if isUnsafe(scalar) {
                result += scalar.escaped(asASCII: true)
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Prose on one line: blanks, tabs and line ends in a row as one blank, none at the ends, all else as in ``line(_:limit:)``.
    public static func excerpt(_ text: String, limit: Int = 1_000) -> String {
        var words = ""
        var wasBreak = true
        for scalar in text.unicodeScalars.prefix(limit * 2 + 1_000) {
            let isBreak = 0x9...0xD ~= scalar.value || scalar == " "
            if !isBreak {
                words.unicodeScalars.append(scalar)
            } else if !wasBreak {
                words += " "
            }
            wasBreak = isBreak
        }
        if words.unicodeScalars.last == " " { words.unicodeScalars.removeLast() }
        return line(words, limit: limit)
    }

    /// Text of several lines that is on its way to a terminal: line feeds, tabs and the colours that our own commands set stay,
    /// all else is as in ``line(_:limit:)``.
    public static func screen(_ text: String) -> String {
        if text.utf8.allSatisfy({ 0x20...0x7E ~= $0 || 0x9...0xA ~= $0 }) { return text }
        var result = ""
        var rest = text.unicodeScalars[...]
        while let scalar = rest.first {
            if scalar == "\u{1B}", let length = colourLength(rest) {
                result.unicodeScalars.append(contentsOf: rest.prefix(length))
                rest = rest.dropFirst(length)
                continue
            }
            if isUnsafe(scalar), scalar != "\n", scalar != "\t" {
                result += scalar.escaped(asASCII: true)
            } else {
                result.unicodeScalars.append(scalar)
            }
            rest = rest.dropFirst()
        }
        return result
    }

    /// Of a "Select Graphic Rendition" sequence (ECMA-48, section 8.3.117) with one number; nil for anything else.
    private static func colourLength(_ text: String.UnicodeScalarView.SubSequence) -> Int? {
        let sequence = text.prefix(5)
        guard sequence.dropFirst().first == "[", let end = sequence.firstIndex(of: "m") else { return nil }
        let digits = sequence[..<end].dropFirst(2)
        guard !digits.isEmpty, digits.allSatisfy({ "0"..."9" ~= $0 }) else { return nil }
        return digits.count + 3
    }

    // MARK: JSON

    /// A JSON document in which no unsafe scalar stands as it is: each is written as `\uXXXX`, which means the same. Encoders
    /// escape no more than RFC 8259 (section 7) asks for, which leaves DEL, C1, U+2028 and directions to whoever shows the line.
    ///
    /// - Parameter document: UTF-8; whitespace between values stays.
    public static func json(_ document: [UInt8]) -> [UInt8] {
        guard document.contains(where: { $0 >= 0x7F }) else { return document }
        var result: [UInt8] = []
        result.reserveCapacity(document.count + 16)
        for scalar in String(decoding: document, as: UTF8.self).unicodeScalars {
            if scalar.value >= 0x7F, isUnsafe(scalar) {
                result += escape(scalar).utf8
            } else {
                result += UTF8.encode(scalar).map { Array($0) } ?? []
            }
        }
        return result
    }

    /// A JSON string with its quotes.
    public static func jsonString(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if isUnsafe(scalar) { result += escape(scalar) } else { result.unicodeScalars.append(scalar) }
            }
        }
        return result + "\""
    }

    /// `\u001b`; a pair of surrogates beyond U+FFFF.
    private static func escape(_ scalar: Unicode.Scalar) -> String {
        scalar.utf16.map { unit in
            let digits = String(unit, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }.joined()
    }
}
