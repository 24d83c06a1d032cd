import AWS
import Failures
import TestSupport
import Testing
import WebSocket

/// Tunnels and API calls pass the same proxies: what libcurl reads as the head of an answer, the tunnels' own reader takes.
@Suite struct HTTPLeniencyTests {
    private static let end = "Content-Length: 2\r\n\r\n"

    /// Heads that libcurl 7.88 takes.
    static let taken = [
        "HTTP/1.1 200 OK\n" + "Content-Length: 2\n\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\r\n\n", "HTTP/1.1 200 OK\r\nX: a\r\n b:c\r\n" + end,
        "HTTP/1.1 200 OK\nX: a\n\tb\n" + end,
        "HTTP/1.1 200 OK\r\nX: a\r\n \r\n" + end, "HTTP/1.1 200 OK\r\nX : a\r\n" + end,
        "HTTP/1.1 200 OK\r\nX y(z): a\r\n" + end,
        "HTTP/1.1 200 OK\r\n: a\r\n" + end, "HTTP/1.1 200 OK\r\nX: a\u{1}b\r\n" + end,
        "HTTP/1.1 200 \u{1B}[31mOK\r\n" + end,
        "HTTP/1.1  200 OK\r\n" + end, "HTTP/1.1 200\tOK\r\n" + end, "HTTP/1.1 200\r\n" + end,
        "HTTP/1.1 200OK\r\n" + end,
        "HTTP/1.0 200 OK  \r\n" + end, "HTTP/1.1 200 OK\r\nContent-Length: 2  \r\n \r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + end, "HTTP/1.1 103 Early\n\nHTTP/1.1 200 OK\r\n" + end,
        "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 20_000) + "\r\n" + end,
        "HTTP/1.1 200 OK\r\n" + String(repeating: "X: " + String(repeating: "a", count: 8_000) + "\r\n", count: 11)
            + end,
        "HTTP/1.1 200 \u{F6}\u{E9}\r\nVia: pr\u{F6}xy\r\n" + end,
    ]

    /// Heads that libcurl 7.88 refuses.
    static let refused = [
        "HTTP/1.1 200 OK\r\n X: a\r\n" + end, "HTTP/1.1 200 OK\r\nfoo\r\n" + end,
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n" + end,
        " HTTP/1.1 200 OK\r\n" + end, "\r\nHTTP/1.1 200 OK\r\n" + end, "HTTP/1. 200 OK\r\n" + end,
        "HTTP/1 200 OK\r\n" + end,
        "HTTP 200 OK\r\n" + end, "HTTP/1.1 2000 OK\r\n" + end, "HTTP/1.1 20 OK\r\n" + end, "ICY 200 OK\r\n" + end,
    ]

    /// Whether libcurl takes an answer with this head.
    private func libcurlTakes(_ head: String) async throws -> Bool {
        let server = try LoopbackServer { socket in
            while try !["", "\r"].contains(socket.readLine()) {}
            // Latin-1, as old proxies write it.
            try socket.write(head.unicodeScalars.map { UInt8($0.value) } + Array("hi".utf8))
        }
        let request = HTTPRequest(url: "http://127.0.0.1:\(server.port)/", timeout: .seconds(60), purpose: "call")
        do throws(Failure) {
            return try await HTTPClient().send(request).status == 200
        } catch {
            return false
        }
    }

    private func weTake(_ head: String) -> Bool {
        var parser = ConnectResponseParser()
        let bytes = head.unicodeScalars.map { UInt8($0.value) }
        return bytes.withUnsafeBytes { parser.feed($0) } == .connected
    }

    @Test("what libcurl takes is taken", arguments: taken)
    func acceptance(head: String) async throws {
        #expect(try await libcurlTakes(head), "libcurl: \(head.prefix(60).debugDescription)")
        #expect(weTake(head), "\(head.prefix(60).debugDescription)")
    }

    @Test("what libcurl refuses is refused", arguments: refused)
    func refusal(head: String) async throws {
        #expect(try await !libcurlTakes(head), "libcurl: \(head.prefix(60).debugDescription)")
        #expect(!weTake(head), "\(head.prefix(60).debugDescription)")
    }

    @Test("a folded field of an API's answer is one field")
    func foldedField() async throws {
        let server = try LoopbackServer { socket in
            while try !["", "\r"].contains(socket.readLine()) {}
            try socket.write("HTTP/1.1 200 OK\r\nx-amzn-RequestId: abc\r\n\tdef:g\r\n\(Self.end)hi")
        }
        let answer = try await HTTPClient().send(
            HTTPRequest(url: "http://127.0.0.1:\(server.port)/", timeout: .seconds(60), purpose: "call"))
        #expect(answer.header("x-amzn-requestid") == "abc def:g")
    }
}
