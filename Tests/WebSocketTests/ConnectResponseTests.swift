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

    @Test(
        "a proxy's answer is read as leniently as libcurl reads it",
        arguments: [
            "HTTP/1.0 200 Connection established\nProxy-agent: old\n\n", "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n\n", "HTTP/1.1 200\n\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td: e\r\n\r\n",
            "HTTP/1.1 200 OK\nA : b\n \n\n", "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n",
            "HTTP/1.9 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA b(c): d\r\n: e\r\nF: \u{1}\r\n\r\n",
            "HTTP/1.1 100 Continue\n\nHTTP/1.1 201 Created\n\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: x\n\n",
        ])
    func isTakenAsByLibcurl(text: String) { #expect(outcome(text) == .connected) }

    @Test(
        "NUL and a carriage return alone stay refused",
        arguments: [
            "HTTP/1.1 200 OK\nA: \0\n\n", "HTTP/1.1 200 OK\n: \0\n\n", "HTTP/1.1 200 \0\n\n",
            "HTTP/1.1 200 OK\nA: b\rc\n\n",
            "HTTP/1.1 200 OK\r\r\n\r\n", "HTTP/1.1 200 OK\n A: b\n\n",
            "HTTP/1.1 200 OK\nA\n\n",
        ])
    func isRefused(text: String) { #expect(sentence(text) != nil) }

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
        let endless = "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 310_000)
        #expect(sentence(endless)?.contains("longer than 307200 bytes") == true)
        #expect(outcome("HTTP/1.1 200 OK\r\n") == .needMore)
    }
}
