import Testing
import WebSocket

@Suite struct ConnectResponseTests {
    /// Feeds in parts and returns the first outcome that is not `needMore`.
    private func outcome(_ text: String, partsOf size: Int) -> ConnectResponseParser.Outcome {
        var parser = ConnectResponseParser()
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let part = bytes[start..<min(bytes.count, start + size)]
            let outcome = part.withUnsafeBytes { parser.feed($0) }
            if outcome != .needMore { return outcome }
        }
        return .needMore
    }

    private func outcome(_ text: String) -> ConnectResponseParser.Outcome {
        let whole = outcome(text, partsOf: 1 << 20)
        #expect(outcome(text, partsOf: 1) == whole)
        return whole
    }

    private func sentence(_ text: String) -> String? {
        guard case .violation(let sentence) = outcome(text) else { return nil }
        return sentence
    }

    @Test func any2xxOpensTheWay() {
        #expect(outcome("HTTP/1.1 200 Connection established\r\n\r\n") == .connected)
        // What it says of a body does not count (RFC 9110, section 9.3.6).
        #expect(outcome("HTTP/1.0 204 \r\nContent-Length: 5\r\nVia: 1.0 x\r\n\r\n") == .connected)
        #expect(outcome("HTTP/1.1 200\r\n\r\n") == .connected)
    }

    @Test func interimAnswersArePassedOverButNotForEver() {
        let interim = "HTTP/1.1 102 Processing\r\n\r\n"
        let end = "HTTP/1.1 200 OK\r\n\r\n"
        #expect(outcome(String(repeating: interim, count: 8) + end) == .connected)
        #expect(sentence(String(repeating: interim, count: 9) + end) == "there is no end of interim answers")
        #expect(sentence("HTTP/1.1 101 Switching Protocols\r\n\r\n")?.contains("101") == true)
    }

    @Test func otherStatusesAreRefusalsWhateverFollows() {
        let text = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 900\r\n\r\n<html>"
        guard case .refused(let head) = outcome(text) else {
            Issue.record("not refused")
            return
        }
        #expect(head.status == 407)
        #expect(head.reason == "Proxy Authentication Required")
    }

    @Test func bytesBehindTheAnswerAreNobodysThatIsHonest() {
        var parser = ConnectResponseParser()
        let bytes = Array("HTTP/1.1 200 OK\r\n\r\n\u{16}".utf8)
        #expect(bytes.withUnsafeBytes { parser.feed($0) } == .violation("bytes came behind it"))
    }

    @Test func whatIsNotHTTPIsNoticedAtOnce() {
        #expect(sentence("SSH-2.0-OpenSSH_9.2\r\n") == "this is not HTTP")
        #expect(sentence("HTTP/1.1 abc OK\r\n\r\n") == "the status line is malformed")
        #expect(sentence("HTTP/1.1 200 OK\r\nno colon\r\n\r\n") == "a header line has no colon")
        let endless = "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 17_000)
        #expect(sentence(endless)?.contains("longer than") == true)
        #expect(outcome("HTTP/1.1 200 OK\r\n") == .needMore)
    }
}
