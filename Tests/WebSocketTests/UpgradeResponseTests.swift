import Testing
import WebSocket

@Suite struct UpgradeResponseTests {
    /// The key and answer of RFC 6455, section 1.3.
    private let request: UpgradeRequest

    init() throws {
        request = try UpgradeRequest(
            host: "eice-1.example:443", pathAndQuery: "/openTunnel?a=b%2Fc", key: Array("the sample nonce".utf8),
            userAgent: "eiced/1")
    }

    static let accepted = """
        HTTP/1.1 101 Switching Protocols\r
        Upgrade: WebSocket\r
        connection: keep-alive, UPGRADE\r
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r
        x-amzn-RequestId:  abc-123\t\r
        Date: Mon, 01 Jan 2024 00:00:00 GMT\r
        \r\n
        """

    /// Feeds in parts and returns the first outcome that is not `needMore`; the end of input where none came.
    private func outcome(_ text: String, partsOf size: Int) -> UpgradeResponseParser.Outcome {
        var parser = UpgradeResponseParser(for: request)
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let part = bytes[start..<min(bytes.count, start + size)]
            let outcome = part.withUnsafeBytes { parser.feed($0) }
            if outcome != .needMore { return outcome }
        }
        return parser.endOfInput()
    }

    private func outcome(_ text: String) -> UpgradeResponseParser.Outcome {
        let whole = outcome(text, partsOf: 1 << 20)
        let parts = outcome(text, partsOf: 1)
        // What is left over counts from the part that was fed last.
        if case .accepted(let head, _) = whole, case .accepted(head, _) = parts { return whole }
        #expect(parts == whole)
        return whole
    }

    private func violation(_ text: String) -> String? {
        guard case .violation(let sentence) = outcome(text) else { return nil }
        return sentence
    }

    @Test func theRequestIsExactlyWhatTheRFCAsksFor() {
        #expect(
            String(decoding: request.bytes, as: UTF8.self) == """
                GET /openTunnel?a=b%2Fc HTTP/1.1\r
                Host: eice-1.example:443\r
                Upgrade: websocket\r
                Connection: Upgrade\r
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
                Sec-WebSocket-Version: 13\r
                User-Agent: eiced/1\r
                \r\n
                """)
    }

    @Test(arguments: [
        ("a\r\nX: y", "/", "u"), ("", "/", "u"), ("a b", "/", "u"), ("a/b", "/", "u"), ("a", "", "u"), ("a", "x", "u"),
        ("a", "/ HTTP/1.1\r\nX: y", "u"), ("a", "/a b", "u"), ("a", "/a#b", "u"), ("a", "/é", "u"),
        ("a", "/", "u\r\nX: y"), ("a", "/", "u\nX: y"), ("a", "/", ""), ("a", "/", "ü"), ("a", "/", "u\0"),
    ])
    func nothingIsInjectedIntoARequest(host: String, path: String, userAgent: String) {
        #expect(throws: UpgradeRequest.Invalid.self) {
            try UpgradeRequest(
                host: host, pathAndQuery: path, key: [UInt8](repeating: 0, count: 16), userAgent: userAgent)
        }
    }

    @Test func aKeyHasSixteenBytes() {
        #expect(throws: UpgradeRequest.Invalid.self) {
            try UpgradeRequest(host: "a", pathAndQuery: "/", key: [1], userAgent: "u")
        }
    }

    @Test func aValidAnswerIsAcceptedAtEverySplit() {
        let count = Self.accepted.utf8.count
        for size in 1...count {
            guard case .accepted(let head, _) = outcome(Self.accepted, partsOf: size) else {
                Issue.record("parts of \(size)")
                continue
            }
            #expect(head.status == 101)
            #expect(head.headers["X-AMZN-REQUESTID"] == "abc-123")
            #expect(head.headers["date"] == "Mon, 01 Jan 2024 00:00:00 GMT")
        }
    }

    @Test func bytesBehindTheAnswerAreLeftForTheWebSocket() {
        var parser = UpgradeResponseParser(for: request)
        let text = Array(Self.accepted.utf8)
        let early = text.prefix(50).withUnsafeBytes { parser.feed($0) }
        #expect(early == .needMore)
        let rest = text.dropFirst(50) + [0x82, 0x01, 0x2A]
        guard case .accepted(_, let leftover) = rest.withUnsafeBytes({ parser.feed($0) }) else {
            Issue.record("not accepted")
            return
        }
        #expect(rest.suffix(3).startIndex - rest.startIndex == leftover)
    }

    @Test func interimAnswersArePassedOver() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + Self.accepted
        guard case .accepted = outcome(text, partsOf: 7) else {
            Issue.record("not accepted")
            return
        }
        let endless = String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 20)
        #expect(violation(endless) == "there is no end of interim answers")
    }

    @Test(arguments: [
        ("Upgrade: WebSocket", "Upgrade: h2c", "status 101 without \"Upgrade: websocket\""),
        ("Upgrade: WebSocket\r\n", "", "status 101 without \"Upgrade: websocket\""),
        ("keep-alive, UPGRADE", "keep-alive", "status 101 without \"Connection: Upgrade\""),
        ("keep-alive, UPGRADE", "upgraded", "status 101 without \"Connection: Upgrade\""),
        ("s3pPLM", "s3pPLm", "Sec-WebSocket-Accept is missing or wrong"),
        ("Sec-WebSocket-Accept:", "X:", "Sec-WebSocket-Accept is missing or wrong"),
        ("Date:", "Sec-WebSocket-Accept:", "Sec-WebSocket-Accept is missing or wrong"),
        ("Date:", "Sec-WebSocket-Extensions:", "an extension that was not offered"),
        ("Date:", "Sec-WebSocket-Protocol:", "a subprotocol that was not offered"),
        ("HTTP/1.1 101", "HTTP/1.0 101", "HTTP/1.0 cannot upgrade"),
        ("HTTP/1.1 101 ", "HTTP/1.1 1010 ", "the status line is malformed"),
        ("HTTP/1.1 101 ", "HTTP/1.1 +10 ", "the status line is malformed"),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1", "the status line is malformed"),
        ("HTTP/1.1 101", "SSH-2.0-x", "this is not HTTP"),
        ("HTTP/1.1 101 ", "HTTP/1. 101 ", "the status line is malformed"),
        ("HTTP/1.1 101 ", "HTTP/1.1 101 \0", "the first line is not text"),
        ("Upgrade: W", " Upgrade: W", "the first header line is folded"),
        ("WebSocket\r", "WebSocket\r\n more\r", "status 101 without \"Upgrade: websocket\""),
        ("s3pPLM", "s3p\r\n PLM", "Sec-WebSocket-Accept is missing or wrong"),
        ("Date: Mon", "Date: \0Mon", "a header field's value has control characters"),
        ("Date: Mon", "D\0te: Mon", "a header field's name has characters that are not allowed"),
        ("Date: Mon", ": \0Mon", "a header field's value has control characters"),
        ("Date: Mon, 01 Jan 2024 00:00:00 GMT", "Date", "a header line has no colon"),
        ("Date: Mon", "Date: \rMon", "a header line has a carriage return in it"),
        ("GMT\r", "GMT\r\r", "a header line has a carriage return in it"),
    ])
    func eachRuleOfTheAnswerIsHeld(part: String, other: String, sentence: String) throws {
        let text = Self.accepted.utf8Replacing(part, with: other)
        try #require(text != Self.accepted)
        #expect(violation(text) == sentence)
    }

    /// Each is taken by libcurl 7.88 as well: `HTTPLeniencyTests` compares.
    @Test(
        "an answer is read as leniently as libcurl reads it",
        arguments: [
            ("\r\n", "\n"), ("GMT\r\n\r\n", "GMT\r\n\n"), ("GMT\r\n\r\n", "GMT\n\r\n"), ("GMT\r", "GMT\r\n \r"),
            ("Upgrade: W", "Upgrade:\r\n\tW"), ("Upgrade: W", "Upgrade:\n W"), ("Upgrade:", "Upgrade \t:"),
            ("HTTP/1.1 101 ", "HTTP/1.1 \t 101\t"), ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101"),
            ("HTTP/1.1 101 S", "HTTP/1.2 101S"), ("101 S", "101 \u{1B}[31mS"), ("Date: Mon", "Date: \u{1}Mon"),
            ("Date: Mon", "\u{1}Da te: Mon"), ("Date: Mon", ": Mon"), ("Date: Mon, ", "Date: \nMon, "),
            ("Date:", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nDate:"),
        ])
    func isTakenAsByLibcurl(part: String, other: String) {
        let text = Self.accepted.utf8Replacing(part, with: other)
        guard case .accepted(let head, _) = outcome(text) else {
            Issue.record("\(part.debugDescription), \(other.debugDescription): \(outcome(text))")
            return
        }
        #expect(head.headers["x-amzn-requestid"] == "abc-123")
        let shown = head.reason + head.headers.fields.map { $0.name + $0.value }.joined()
        #expect(shown.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "\(shown.debugDescription)")
    }

    @Test("a folded line continues its field with one blank")
    func foldedLines() {
        guard
            case .accepted(let head, _) = outcome(Self.accepted.utf8Replacing("abc-123", with: "abc\r\n  -123: x\n\ty"))
        else {
            Issue.record("not accepted")
            return
        }
        #expect(head.headers["x-amzn-requestid"] == "abc   -123: x \ty")
    }

    @Test func anAnswerThatIsCutShortIsNone() {
        #expect(violation(String(Self.accepted.dropLast(2))) == "the connection ended before the answer did")
        #expect(violation("") == "the connection ended before the answer did")
    }

    @Test func aHeaderSectionHasALimit() {
        let line = "X: " + String(repeating: "y", count: 1_000) + "\r\n"
        let long = "HTTP/1.1 101 OK\r\n" + String(repeating: line, count: 310) + "\r\n"
        #expect(outcome(long, partsOf: 4_096) == .violation("the header section is longer than 307200 bytes"))
    }

    // MARK: Refusals

    private func refusal(_ text: String) -> String? {
        guard case .refused(let head, let body) = outcome(text) else { return nil }
        return
            "\(head.status) \(head.reason)|\(head.headers["x-amzn-requestid"] ?? "")|\(String(decoding: body, as: UTF8.self))"
    }

    @Test func aRefusalComesWithItsBodyHoweverThatIsFramed() {
        let head = "HTTP/1.1 403 Forbidden\r\nX-Amzn-RequestId: r1\r\n"
        #expect(refusal(head + "Content-Length: 7\r\n\r\n{\"a\":1}rest") == "403 Forbidden|r1|{\"a\":1}")
        #expect(refusal(head + "Content-Length: 0\r\n\r\n") == "403 Forbidden|r1|")
        #expect(
            refusal(head + "transfer-encoding: Chunked\r\n\r\n4;x=y\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n")
                == "403 Forbidden|r1|{\"a\":1}")
        #expect(
            refusal(
                (head + "Transfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n").utf8Replacing(
                    "\r\n", with: "\n"))
                == "403 Forbidden|r1|{\"a\":1}")
        #expect(refusal(head + "\r\n{\"a\":1}") == "403 Forbidden|r1|{\"a\":1}")
        #expect(refusal("HTTP/1.0 503\r\n\r\n") == "503 ||")
        #expect(refusal("HTTP/1.1 204 No Content\r\n\r\n") == "204 No Content||")
        // 200 is no upgrade; a redirection is not followed.
        #expect(refusal("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") == "200 OK||hi")
        #expect(refusal("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n") == "302 Found||")
    }

    @Test(
        "the length of a refusal's body is read as libcurl reads it",
        arguments: [
            "Content-Length: 2, 2", "Content-Length: 2\r\nContent-Length: 2", "Content-Length: +2",
            "Content-Length: 2 x",
            "Content-Length: 99999999999999999999", "Transfer-Encoding: identity",
            "Transfer-Encoding: identity\r\nContent-Length: 2",
        ])
    func lenientLength(field: String) {
        #expect(refusal("HTTP/1.1 403 Forbidden\r\n\(field)\r\n\r\nhi") == "403 Forbidden||hi")
    }

    @Test func aRefusalCutShortIsStillTold() {
        #expect(refusal("HTTP/1.1 403 No\r\nContent-Length: 70\r\n\r\n{\"a\":") == "403 No||{\"a\":")
    }

    @Test func aRefusalsBodyIsCutAtItsLimit() {
        let body = String(repeating: "x", count: 70_000)
        for head in ["Content-Length: 70000\r\n", "", "Content-Length: 9000000000000\r\n"] {
            guard case .refused(_, let kept) = outcome("HTTP/1.1 500 No\r\n\(head)\r\n\(body)", partsOf: 1_000) else {
                Issue.record("not refused: \(head)")
                continue
            }
            #expect(kept.count == 65_536)
        }
    }

    @Test(arguments: [
        "Content-Length: x", "Content-Length: -1", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: 1, 2",
        "Content-Length:", "Content-Length: 1,", "Content-Length: ++1", "Content-Length: ٤",
        "Transfer-Encoding: gzip, chunked",
    ])
    func aBodyWithoutAClearLengthIsRefused(field: String) {
        #expect(violation("HTTP/1.1 403 No\r\n\(field)\r\n\r\nbody")?.isEmpty == false)
    }

    @Test(arguments: ["x\r\n", "\r\n", "-1\r\n", "+1\r\n", "2\r\nabc\r\n", "1\r\na\r\r\n", "FFFFFFFFFFFFFFFF\r\n"])
    func badChunksAreRefused(chunks: String) {
        #expect(violation("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n\(chunks)")?.isEmpty == false)
    }
}

extension String {
    func firstRange(of part: String) -> Range<String.Index>? { ranges(of: part).first }

    /// Replaces bytes: to a String CR LF is one character, of which neither half is found.
    func utf8Replacing(_ part: String, with other: String) -> String {
        String(decoding: Array(utf8).replacing(Array(part.utf8), with: Array(other.utf8)), as: UTF8.self)
    }

    func replacingCharacters(in range: Range<String.Index>, with other: String) -> String {
        String(self[..<range.lowerBound]) + other + String(self[range.upperBound...])
    }
}
