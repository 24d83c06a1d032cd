import Testing

@testable import WebSocket

/// The limits of the readers, each from both sides, and rules that no other test sees.
@Suite struct BoundaryTests {
    private let request: UpgradeRequest

    init() throws {
        request = try UpgradeRequest(
            host: "eice-1.example", pathAndQuery: "/", key: Array("the sample nonce".utf8), userAgent: "eiced/1")
    }

    /// The first outcome that is not `needMore`, fed in parts, or that of the end of input.
    private func outcome(_ text: String, partsOf size: Int = 1 << 20) -> UpgradeResponseParser.Outcome {
        var parser = UpgradeResponseParser(for: request)
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let outcome = bytes[start..<min(bytes.count, start + size)].withUnsafeBytes { parser.feed($0) }
            if outcome != .needMore { return outcome }
        }
        return parser.endOfInput()
    }

    private func isAccepted(_ text: String) -> Bool {
        if case .accepted = outcome(text) { true } else { false }
    }

    private func refusal(_ text: String) -> String? {
        guard case .refused(let head, let body) = outcome(text) else { return nil }
        return "\(head.status) \(String(decoding: body, as: UTF8.self))"
    }

    private func violation(_ text: String) -> String? {
        if case .violation(let sentence) = outcome(text) { sentence } else { nil }
    }

    // MARK: Heads

    @Test("eight interim answers are passed over, the ninth is one too many")
    func interimAnswers() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n"
        #expect(isAccepted(String(repeating: interim, count: 8) + UpgradeResponseTests.accepted))
        #expect(
            violation(String(repeating: interim, count: 9) + UpgradeResponseTests.accepted)
                == "there is no end of interim answers")
    }

    @Test("a request's head of 16 KiB is read, a longer one is refused, split or not")
    func headLimit() {
        func outcome(_ length: Int, partsOf size: Int) -> UpgradeRequestParser.Outcome {
            let start = "GET / HTTP/1.1\r\nHost: h\r\nX: "
            let text = start + String(repeating: "x", count: length - start.utf8.count - 4) + "\r\n\r\n"
            var parser = UpgradeRequestParser()
            let bytes = Array(text.utf8)
            for start in stride(from: 0, to: bytes.count, by: size) {
                let outcome = bytes[start..<min(bytes.count, start + size)].withUnsafeBytes { parser.feed($0) }
                if outcome != .needMore { return outcome }
            }
            return .needMore
        }
        for size in [1_000, 1 << 20] {
            guard case .request(let head, _) = outcome(16_384, partsOf: size) else {
                Issue.record("refused in parts of \(size)")
                continue
            }
            #expect(head.headers["x"]?.isEmpty == false)
            #expect(
                outcome(16_386, partsOf: size)
                    == .violation(status: 400, "the header section is longer than 16384 bytes"))
        }
    }

    @Test(
        "a status has three digits, the first of which is not 0",
        arguments: [
            ("099", false), ("100", true), ("999", true), ("1000", false), ("20", false), ("2 0", false),
        ])
    func statuses(status: String, isValid: Bool) {
        let outcome = outcome("HTTP/1.1 \(status) x\r\nContent-Length: 0\r\n\r\n")
        #expect((outcome != .violation("the status line is malformed")) == isValid)
    }

    private func requestHead(_ lines: String) -> HTTPRequestHead? {
        var parser = UpgradeRequestParser()
        let bytes = Array("GET / HTTP/1.1\r\nHost: h\r\n\(lines)\r\n\r\n".utf8)
        guard case .request(let head, _) = bytes.withUnsafeBytes({ parser.feed($0) }) else { return nil }
        return head
    }

    @Test("a field's value in a request may hold tabs and bytes of other scripts, and no other control characters")
    func values() {
        func value(_ text: String) -> String? { requestHead("X: \(text)")?.headers["x"] }
        #expect(value("a\tb") == "a\tb")
        #expect(value(" \t é ü \t") == "é ü")
        #expect(value("~ !") == "~ !")
        #expect(value("") == "")
        for control in ["\u{7F}", "\u{1F}", "\u{8}", "\u{B}"] { #expect(value("a\(control)b") == nil) }
    }

    @Test("a field's name in a request is a token: letters, digits and fifteen other characters")
    func names() {
        let name = "azAZ09!#$%&'*+-.^_`|~"
        #expect(requestHead("\(name): v")?.headers[name.uppercased()] == "v")
        for other in ["a b", "a(", "a/", "a@", "a[", "a{", "a\"", "é", ""] {
            #expect(requestHead("\(other): v") == nil)
        }
    }

    @Test("the members of a list may stand in several fields")
    func listsOverFields() {
        let text = UpgradeResponseTests.accepted
        let range = text.firstRange(of: "connection: keep-alive, UPGRADE") ?? text.startIndex..<text.startIndex
        #expect(
            isAccepted(text.replacingCharacters(in: range, with: "Connection: keep-alive,,\r\nConnection: , upgrade ,"))
        )
    }

    // MARK: Bodies

    @Test("a status without a body is complete with its head", arguments: [204, 304])
    func statusesWithoutABody(status: Int) {
        var parser = UpgradeResponseParser(for: request)
        let head = Array("HTTP/1.1 \(status) x\r\nContent-Length: 9\r\n\r\n".utf8)
        guard case .refused(_, let body) = head.withUnsafeBytes({ parser.feed($0) }) else {
            Issue.record("it waits for a body")
            return
        }
        #expect(body.isEmpty)
    }

    @Test("two lengths that agree are one, and a length without a digit is none")
    func contentLengths() {
        let head = "HTTP/1.1 403 No\r\n"
        #expect(refusal(head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab") == "403 ab")
        #expect(refusal(head + "Content-Length: 02\r\n\r\nab") == "403 ab")
        for length in ["9223372036854775807", "9223372036854775808", "2 2"] {
            #expect(refusal(head + "Content-Length: \(length)\r\n\r\nab") == "403 ab", "\(length)")
        }
        #expect(violation(head + "Content-Length: /\r\n\r\nab") != nil)
        #expect(violation(head + "Content-Length: :\r\n\r\nab") != nil)
    }

    @Test("a transfer encoding comes before a length")
    func encodingBeforeLength() {
        let head = "HTTP/1.1 403 No\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(refusal(head + "3\r\nabc\r\n0\r\n\r\n") == "403 abc")
    }

    @Test("a chunk's size has at most fifteen digits, and its line 256 bytes")
    func chunkSizes() {
        let head = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(refusal(head + "000000000000002\r\nab\r\n0\r\n\r\n") == "403 ab")
        #expect(violation(head + "0000000000000002\r\nab\r\n0\r\n\r\n") == "a chunk's size is not a number")
        #expect(refusal(head + "fffffffffffffff\r\nab") == "403 ab", "cut short")
        #expect(refusal(head + "aA\r\n" + String(repeating: "x", count: 170) + "\r\n0\r\n") != nil)
        let longLine = "2;" + String(repeating: "e", count: 253)
        #expect(refusal(head + longLine + "\r\nab\r\n0\r\n\r\n") == "403 ab")
        #expect(violation(head + longLine + "e\r\nab\r\n0\r\n\r\n") == "a chunk's size line is too long")
    }

    @Test("a chunk ends where its size says")
    func chunkEnds() {
        let head = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"
        for chunk in ["2\r\nabc\r\n", "2\r\nab\r\r"] {
            #expect(violation(head + chunk) == "a chunk of the body does not end where its size says")
        }
    }

    @Test("a body is kept up to 64 KiB, and one byte less waits for more")
    func bodyLimit() {
        func feed(_ count: Int) -> UpgradeResponseParser.Outcome {
            var parser = UpgradeResponseParser(for: request)
            let bytes = Array("HTTP/1.1 403 No\r\n\r\n".utf8) + [UInt8](repeating: 0x78, count: count)
            return bytes.withUnsafeBytes { parser.feed($0) }
        }
        #expect(feed(65_535) == .needMore)
        guard case .refused(_, let body) = feed(65_536) else {
            Issue.record("it waits for more")
            return
        }
        #expect(body.count == 65_536)
    }

    @Test("a parser that is done takes nothing more")
    func afterTheEnd() {
        var parser = UpgradeResponseParser(for: request)
        let text = Array(UpgradeResponseTests.accepted.utf8)
        _ = text.withUnsafeBytes { parser.feed($0) }
        #expect(text.withUnsafeBytes { parser.feed($0) } == .violation("bytes came after the end"))
        #expect(parser.endOfInput() == .violation("the connection ended"))
        var server = UpgradeRequestParser()
        let request = Array(UpgradeRequestTests.valid.utf8)
        _ = request.withUnsafeBytes { server.feed($0) }
        #expect(request.withUnsafeBytes { server.feed($0) } == .violation(status: 400, "bytes came after the end"))
        var broken = UpgradeRequestParser()
        let rubbish = Array("rubbish\r\n\r\n".utf8)
        _ = rubbish.withUnsafeBytes { broken.feed($0) }
        #expect(request.withUnsafeBytes { broken.feed($0) } == .violation(status: 400, "bytes came after the end"))
    }

    // MARK: Requests

    @Test("every visible character may stand in a request, and a blank in the user agent")
    func visibleCharacters() throws {
        let visible = String(decoding: UInt8(0x21)...0x7E, as: UTF8.self)
        let host = visible.filter { $0 != "/" }
        let path = "/" + visible.filter { $0 != "#" }
        let request = try UpgradeRequest(
            host: host, pathAndQuery: path, key: [UInt8](repeating: 0, count: 16), userAgent: " " + visible)
        #expect(request.host == host && request.pathAndQuery == path)
        for key in [15, 17] {
            #expect(throws: UpgradeRequest.Invalid.self) {
                try UpgradeRequest(
                    host: "h", pathAndQuery: "/", key: [UInt8](repeating: 0, count: key), userAgent: "u")
            }
        }
    }

    @Test("a client that asks for another version is told ours")
    func otherVersion() {
        let head = { (status: Int) in
            String(decoding: UpgradeResponse.refusing(status: status, body: []), as: UTF8.self)
        }
        #expect(head(426).contains("\r\nSec-WebSocket-Version: 13\r\n"))
        #expect(!head(400).contains("Sec-WebSocket-Version"))
        #expect(head(418).hasPrefix("HTTP/1.1 418 Status\r\n"))
    }

    // MARK: Control frames

    @Test("a reason of 123 bytes is sent whole, a longer one is cut to that")
    func longestReason() {
        for length in [123, 124] {
            var server = WebSocketStateMachine(role: .server)
            let close = server.close(.normal, reason: String(repeating: "x", count: length), maskingKey: 0) ?? []
            #expect(clientHears(close) == [.close(1_000, String(repeating: "x", count: 123))])
        }
    }

    @Test("nothing but the answer to a Close is sent after one, in either direction")
    func nothingAfterAClose() {
        var ours = WebSocketStateMachine(role: .client)
        _ = ours.close(.normal, maskingKey: 1)
        #expect(ours.ping(maskingKey: 1) == nil && ours.pong(for: [1], maskingKey: 1) == nil && !ours.maySendData)
        #expect(!ours.isClosed)
        var theirs = WebSocketStateMachine(role: .client)
        _ = theirs.hear(closeFrame(1_000))
        #expect(theirs.ping(maskingKey: 1) == nil && theirs.pong(for: [1], maskingKey: 1) == nil)
        #expect(!theirs.maySendData && !theirs.isClosed)
    }

    @Test("the answer to a Close echoes its code without the reason")
    func echoedCode() {
        var server = WebSocketStateMachine(role: .server)
        _ = server.hear(FrameEncoder.frame(.close, payload: [0x0F, 0xA0] + Array("why".utf8), maskingKey: 7))
        #expect(server.closeReply(maskingKey: 0) == [0x88, 2, 0x0F, 0xA0])
    }

    @Test("a server's control frames have no mask, a client's have")
    func masks() {
        let server = WebSocketStateMachine(role: .server).ping([1], maskingKey: 0x0403_0201)
        #expect(server == [0x89, 1, 1])
        let client = WebSocketStateMachine(role: .client).ping([1], maskingKey: 0x0403_0201)
        #expect(client == [0x89, 0x81, 1, 2, 3, 4, 0])
    }

    @Test("lengths at the edges of their three forms are minimal, one below is not")
    func edgesOfLengths() {
        let header: ([UInt8]) -> FrameHeader? = { bytes in
            var (decoder, offset) = (FrameDecoder(role: .client), 0)
            return bytes.withUnsafeBytes { try? decoder.nextHeader(in: $0, at: &offset) }
        }
        #expect(header([0x82, 125])?.payloadLength == 125)
        #expect(header([0x82, 126, 0, 126])?.payloadLength == 126)
        #expect(header([0x82, 126, 0xFF, 0xFF])?.payloadLength == 65_535)
        #expect(header([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0])?.payloadLength == 65_536)
        #expect(header([0x82, 126, 0, 125]) == nil)
        #expect(header([0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]) == nil)
    }

    @Test("a decoder begins each header afresh")
    func afreshAfterEachHeader() throws {
        var (decoder, offset) = (FrameDecoder(role: .server), 0)
        let bytes: [UInt8] = [0x82, 0xFE, 1, 0, 9, 8, 7, 6] + [0x02, 0x85, 1, 2, 3, 4] + [0x80, 0x80, 0, 0, 0, 0]
        let headers = try bytes.withUnsafeBytes { buffer in
            try (0..<3).map { _ in try #require(try decoder.nextHeader(in: buffer, at: &offset)) }
        }
        #expect(
            headers == [
                FrameHeader(isFinal: true, opcode: .binary, payloadLength: 256, maskingKey: 0x0607_0809),
                FrameHeader(isFinal: false, opcode: .binary, payloadLength: 5, maskingKey: 0x0403_0201),
                FrameHeader(isFinal: true, opcode: .continuation, payloadLength: 0, maskingKey: 0),
            ])
        #expect(offset == bytes.count)
    }
}
