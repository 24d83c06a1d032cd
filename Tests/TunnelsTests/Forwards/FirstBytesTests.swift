import Testing

@testable import Tunnels

@Suite struct FirstBytesTests {
    private func verdict(_ text: String) -> FirstBytes.Verdict { FirstBytes.verdict(on: Array(text.utf8)) }

    @Test(
        "requests of a browser are recognized",
        arguments: [
            "GET / HTTP/1.1\r\n", "POST /x", "HEAD ", "PUT /", "DELETE /", "CONNECT a:1", "OPTIONS *", "TRACE /",
            "PATCH /",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ])
    func http(text: String) { #expect(verdict(text) == .web(.http)) }

    @Test("a ClientHello is recognized", arguments: [0, 1, 3, 4] as [UInt8])
    func tls(minor: UInt8) { #expect(FirstBytes.verdict(on: [0x16, 0x03, minor, 0x02]) == .web(.tls)) }

    @Test(
        "all else is left to the server",
        arguments: [
            "SSH-2.0-OpenSSH_9.2\r\n", "S", "get / ", "GETX", "GET\t/", "PRI /", "\u{16}SSH", "\r\nGET /", "\u{3}\u{0}",
        ])
    func others(text: String) { #expect(verdict(text) == .clear) }

    @Test("nothing is decided before it is certain", arguments: ["", "G", "GET", "P", "PRI * HTTP/", "\u{16}"])
    func prefixes(text: String) { #expect(verdict(text) == .undecided) }

    @Test(
        "how the bytes were split decides nothing",
        arguments: ["GET / HTTP/1.1", "PRI * HTTP/2.0", "SSH-2.0-x", "GETX /", "PUBLISH"])
    func splits(text: String) {
        var judge = FirstBytes()
        var verdict = FirstBytes.Verdict.undecided
        for byte in text.utf8 where verdict == .undecided {
            verdict = [byte].withUnsafeBytes { judge.feed($0) }
        }
        #expect(verdict == self.verdict(text))
    }

    @Test("as many bytes as are looked at decide")
    func longest() {
        #expect(FirstBytes.verdict(on: Array("PRI * HTTP/2".utf8)) == .web(.http))
        #expect("PRI * HTTP/2".utf8.count == FirstBytes.longest)
    }
}
