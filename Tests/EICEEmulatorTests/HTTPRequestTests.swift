import Testing

@testable import EICEEmulator

@Suite struct HTTPRequestTests {
    @Test func aRequestSplitAnywhereIsRead() {
        let text = "POST /a?b=c HTTP/1.1\r\nHost:  x \r\nContent-Length: 4\r\nX: 1\r\nx: 2\r\n\r\nbodyGET"
        for size in [1, 2, 3, 7, 1_000] {
            var parser = HTTPRequestParser()
            var found: HTTPRequest?
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                if case .request(let request) = parser.feed(rest.prefix(size)) { found = request }
                rest = rest.dropFirst(size)
            }
            #expect(found?.path == "/a" && found?.query == "b=c")
            #expect(found?.value(of: "host") == "x" && found?.value(of: "X") == "1,2")
            #expect(found.map { String(decoding: $0.body, as: UTF8.self) } == "body")
            #expect(parser.rest == Array("GET".utf8))
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.0\r\n\r\n", "GET http://x/ HTTP/1.1\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n", "GET / HTTP/1.1\r\nnonsense\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ])
    func malformedRequestsAreRefused(text: String) {
        var parser = HTTPRequestParser()
        guard case .malformed = parser.feed(text.utf8) else {
            Issue.record("\(text) was accepted")
            return
        }
    }

    @Test func anEndlessHeadIsRefused() {
        var parser = HTTPRequestParser()
        guard case .malformed(431, _) = parser.feed([UInt8](repeating: 65, count: 70_000)) else {
            Issue.record("it was accepted")
            return
        }
    }

    @Test func percentCodingRoundTrips() {
        let bytes = Array(UInt8.min...UInt8.max)
        #expect(PercentCoding.decode(PercentCoding.encode(bytes)[...]) == bytes)
        #expect(PercentCoding.encode("a b/ü~".utf8) == "a%20b%2F%C3%BC~")
        #expect(PercentCoding.decode("a+b", plusIsSpace: true) == Array("a b".utf8))
        #expect(PercentCoding.decode("%4") == nil)
        #expect(PercentCoding.decode("%xy") == nil)
    }
}
