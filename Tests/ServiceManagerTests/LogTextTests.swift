import Failures
import Logging
import Testing

@testable import ServiceManager

@Suite struct LogTextTests {
    private func entryLine(_ message: String, _ metadata: Logger.Metadata) -> String {
        LogEntry(.info, message, metadata).line
    }

    @Test func aLineHasItsMessageAndSortedFields() {
        let line = entryLine("tunnel closed", ["tunnel": "t-1", "forward": "db", "bytes": "5"])
        #expect(line == "tunnel closed bytes=5 forward=db tunnel=t-1")
        #expect(entryLine("ready", [:]) == "ready")
    }

    @Test func valuesAreQuotedWhereTheirEndWouldNotBeSeen() {
        #expect(entryLine("m", ["a": "two words"]) == "m a=\"two words\"")
        #expect(entryLine("m", ["a": ""]) == "m a=\"\"")
        #expect(entryLine("m", ["a": "x=y"]) == "m a=\"x=y\"")
        #expect(entryLine("m", ["a": "say \"hi\""]) == "m a=\"say \\\"hi\\\"\"")
    }

    @Test(arguments: [
        ("a\nerror: forged", "a\\nerror: forged"), ("a\r\n\tb", "a\\r\\n\\tb"), ("\u{1B}[31mred", "\\u{1B}[31mred"),
        ("a\0b", "a\\0b"), ("\u{9B}x", "\\u{009B}x"), ("\u{202E}gnp", "\\u{202E}gnp"), ("a\u{2028}b", "a\\u{2028}b"),
        ("Zürich 東京 🙂", "Zürich 東京 🙂"), ("C:\\x", "C:\\x"),
    ])
    func nothingBeginsAnotherLineOrMovesTheCursor(text: String, shown: String) {
        #expect(ForeignText.line(text) == shown)
        #expect(entryLine("m", ["k\(text)": "v"]).hasPrefix("m k"))
        #expect(!entryLine(text, ["k\(text)": "\(text)"]).unicodeScalars.contains { $0.value < 0x20 })
    }
}
