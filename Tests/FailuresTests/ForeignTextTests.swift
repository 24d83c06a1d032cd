import Failures
import Testing

@Suite struct ForeignTextTests {
    @Test("every control, format and separator character of Unicode is unsafe, and no letter or sign")
    func unsafeCharacters() {
        let unsafe: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator]
        for value in UInt32(0)...0x10FFFF {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let category = scalar.properties.generalCategory
            if unsafe.contains(category) {
                #expect(ForeignText.isUnsafe(scalar), "U+\(String(value, radix: 16))")
            } else if category != .unassigned {
                #expect(!ForeignText.isUnsafe(scalar), "U+\(String(value, radix: 16))")
            }
        }
    }

    /// What terminals, pagers and people trip over, one of each kind.
    static let hostile = [
        "\u{1B}[2J", "\u{1B}]0;title\u{7}", "\u{9B}31m", "\u{85}", "\u{2028}", "\u{2029}", "\r\n", "\n", "\r", "\t",
        "\0", "\u{7F}",
        "\u{202E}gpj", "\u{2066}x", "\u{200B}", "\u{200F}", "\u{FEFF}", "\u{AD}", "\u{E0041}", "\u{61C}",
        "e\u{301}\r\n", "\u{8}",
    ]

    @Test("a line has no line end, no control and no direction character", arguments: hostile)
    func lines(text: String) {
        for shown in [
            ForeignText.line("a\(text)b"), ForeignText.excerpt("a\(text)b"), ForeignText.line(text + text),
            ForeignText.line("日本\(text)"),
        ] {
            #expect(!shown.unicodeScalars.contains(where: ForeignText.isUnsafe), "\(shown)")
        }
        let screen = ForeignText.screen("a\(text)b\nc")
        #expect(!screen.unicodeScalars.contains { ForeignText.isUnsafe($0) && $0 != "\n" && $0 != "\t" }, "\(screen)")
    }

    @Test("harmless text stays as it is") func harmless() {
        for text in ["", "web-1", "Zürich 東京 🙂 e\u{301}", "C:\\x", "a  b"] {
            #expect(ForeignText.line(text) == text)
            #expect(ForeignText.screen("\(text)\n\(text)\n") == "\(text)\n\(text)\n")
        }
        #expect(ForeignText.excerpt("  a \r\n\t b\n") == "a b")
        #expect(ForeignText.line("a\r\nb\u{1B}") == "a\\r\\nb\\u{1B}")
    }

    @Test("text is cut by scalars, however many are one character") func limits() {
        let marks = "e" + String(repeating: "\u{301}", count: 100_000)
        #expect(ForeignText.line(marks, limit: 10).unicodeScalars.count == 11)
        #expect(ForeignText.excerpt(marks, limit: 10).unicodeScalars.count == 11)
        #expect(ForeignText.line(String(repeating: "\r\n", count: 50_000)).utf8.count < 40_000)
        #expect(ForeignText.excerpt(String(repeating: "x", count: 16_384), limit: 80).unicodeScalars.count == 81)
        #expect(ForeignText.line("abc", limit: 3) == "abc")
    }

    @Test("colours of our own reach the screen, other sequences do not") func screen() {
        #expect(ForeignText.screen("\u{1B}[31mred\u{1B}[0m\n") == "\u{1B}[31mred\u{1B}[0m\n")
        for sequence in ["\u{1B}[2J", "\u{1B}[m", "\u{1B}[1;31m", "\u{1B}m", "\u{1B}[9999m", "\u{1B}", "\u{9B}1m"] {
            #expect(
                !ForeignText.screen("a\(sequence)b").unicodeScalars.contains(where: ForeignText.isUnsafe), "\(sequence)"
            )
        }
    }

    @Test("JSON means the same and shows nothing unsafe", arguments: hostile) func json(text: String) {
        // C0 an encoder escapes.
        let printable = String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 }))
        let document = Array("{\"a\": \"x\(printable)é🙂\"}\n".utf8)
        let safe = String(decoding: ForeignText.json(document), as: UTF8.self)
        #expect(!safe.unicodeScalars.contains { ForeignText.isUnsafe($0) && $0 != "\n" }, "\(safe)")
        #expect(safe.contains("é🙂"))
        #expect(!ForeignText.jsonString(text).unicodeScalars.contains(where: ForeignText.isUnsafe))
    }

    @Test("escapes in JSON are those of RFC 8259") func escapes() {
        #expect(ForeignText.jsonString("\u{85}\u{2028}\u{E0041}\"\\") == #""\u0085\u2028\udb40\udc41\"\\""#)
        #expect(ForeignText.json(Array("[\"\u{9B}\u{7F}\"]".utf8)) == Array(#"["\u009b\u007f"]"#.utf8))
    }
}
