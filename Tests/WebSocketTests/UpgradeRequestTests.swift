import Testing
import WebSocket

/// The server's side of the opening handshake.
@Suite struct UpgradeRequestTests {
    static let valid = """
        GET /openTunnel?x=%2F&y HTTP/1.1\r
        Host: localhost\r
        Upgrade: websocket\r
        Connection: Upgrade\r
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
        Sec-WebSocket-Version: 13\r
        \r\n
        """

    private func outcome(_ text: String, partsOf size: Int = 1 << 20) -> UpgradeRequestParser.Outcome {
        var parser = UpgradeRequestParser()
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let outcome = bytes[start..<min(bytes.count, start + size)].withUnsafeBytes { parser.feed($0) }
            if outcome != .needMore { return outcome }
        }
        return .needMore
    }

    private func head(_ text: String) -> HTTPRequestHead? {
        guard case .request(let head, _) = outcome(text) else { return nil }
        return head
    }

    @Test func aRequestIsReadAtEverySplit() throws {
        for size in 1...Self.valid.utf8.count {
            guard case .request(let head, _) = outcome(Self.valid, partsOf: size) else {
                Issue.record("parts of \(size)")
                continue
            }
            #expect(head.method == "GET")
            #expect(head.target == "/openTunnel?x=%2F&y")
            #expect(try head.webSocketKey() == "dGhlIHNhbXBsZSBub25jZQ==")
        }
    }

    @Test func bytesBehindTheRequestAreLeft() {
        guard case .request(_, let leftover) = outcome(Self.valid + "rest") else {
            Issue.record("not read")
            return
        }
        #expect(leftover == Self.valid.utf8.count)
    }

    @Test(arguments: [
        ("GET ", "GET  ", "the request line is malformed"), ("HTTP/1.1", "HTTP/2.0", "the request line is malformed"),
        ("/open", "open", "the request line is malformed"), ("GET", "G(T", "the request line is malformed"),
        ("Host:", "Hos:", "there must be one Host field"), ("Upgrade:", "Host:", "there must be one Host field"),
    ])
    func malformedRequestsGet400(part: String, other: String, sentence: String) throws {
        let range = try #require(Self.valid.firstRange(of: part))
        let text = Self.valid.replacingCharacters(in: range, with: other)
        #expect(outcome(text) == .violation(status: 400, sentence))
    }

    @Test func aHeadWithoutEndHasALimit() {
        let endless = "GET / HTTP/1.1\r\n" + String(repeating: "X: yyyyyyyyyy\r\n", count: 2_000)
        #expect(outcome(endless) == .violation(status: 400, "the header section is longer than 16384 bytes"))
    }

    @Test(arguments: [
        ("GET", "POST", 405), ("Upgrade: websocket", "Upgrade: h2c", 426),
        ("Connection: Upgrade", "Connection: close", 426),
        ("Version: 13", "Version: 8", 426), ("Version: 13", "Version: 13, 8", 426),
        ("b25jZQ==", "b25jZ===", 400), ("b25jZQ==", "b25jZQ", 400), ("Sec-WebSocket-Key", "Key", 400),
    ])
    func whatIsNoUpgradeHasItsStatus(part: String, other: String, status: Int) throws {
        let range = try #require(Self.valid.firstRange(of: part))
        let head = try #require(self.head(Self.valid.replacingCharacters(in: range, with: other)))
        do {
            _ = try head.webSocketKey()
            Issue.record("taken")
        } catch {
            #expect(error.status == status)
        }
    }

    @Test func clientAndServerAgree() throws {
        let request = try UpgradeRequest(
            host: "h", pathAndQuery: "/p?q", key: (0..<16).map { $0 }, userAgent: "u")
        let head = try #require(self.head(String(decoding: request.bytes, as: UTF8.self)))
        let answer = UpgradeResponse.accepting(
            key: try head.webSocketKey(), headers: HTTPHeaders([.init("x-amzn-RequestId", "r-1")]))
        var parser = UpgradeResponseParser(for: request)
        guard case .accepted(let response, let leftover) = answer.withUnsafeBytes({ parser.feed($0) }) else {
            Issue.record("not accepted")
            return
        }
        #expect(leftover == answer.count)
        #expect(response.headers["X-Amzn-RequestId"] == "r-1")
    }

    @Test func aRefusalCarriesStatusFieldsAndBody() throws {
        let request = try UpgradeRequest(
            host: "h", pathAndQuery: "/", key: (0..<16).map { $0 }, userAgent: "u")
        let answer = UpgradeResponse.refusing(
            status: 403,
            headers: HTTPHeaders([
                .init("x-amzn-RequestId", "r-2"), .init("X-Evil", "a\r\nX-Injected: b"), .init("Bad Name", "x"),
            ]),
            body: Array("{}".utf8))
        var parser = UpgradeResponseParser(for: request)
        guard case .refused(let head, let body) = answer.withUnsafeBytes({ parser.feed($0) }) else {
            Issue.record("not refused")
            return
        }
        #expect(head.status == 403 && head.reason == "Forbidden")
        #expect(body == Array("{}".utf8))
        #expect(head.headers["content-type"] == "application/json")
        #expect(head.headers["x-amzn-requestid"] == "r-2")
        #expect(head.headers["X-Injected"] == nil && head.headers["X-Evil"] == nil)
        let version = UpgradeResponse.refusing(status: 426, body: [])
        #expect(String(decoding: version, as: UTF8.self).contains("Sec-WebSocket-Version: 13\r\n"))
    }
}
