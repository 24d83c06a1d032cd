import Testing
import WebSocketEcho

@Suite struct EchoURLTests {
    @Test func partsAreAsRFC6455HasThem() throws {
        let plain = try #require(EchoURL("ws://127.0.0.1:9001/runCase?case=1&agent=eiced"))
        #expect(!plain.isSecure && plain.host == "127.0.0.1" && plain.port == 9001)
        #expect(plain.authority == "127.0.0.1:9001" && plain.pathAndQuery == "/runCase?case=1&agent=eiced")
        let secure = try #require(EchoURL("WSS://[::1]"))
        #expect(secure.isSecure && secure.host == "::1" && secure.port == 443)
        #expect(secure.authority == "[::1]" && secure.pathAndQuery == "/")
        #expect(EchoURL("ws://h?q")?.pathAndQuery == "/?q")
        #expect(EchoURL("ws://h:80/")?.authority == "h")
    }

    @Test(arguments: ["", "ws:", "http://h/", "ws://", "ws://:1/", "ws://h:0/", "ws://h:x/", "ws://h/#f", "ws://u@h/"])
    func whatIsNoneIsRefused(text: String) { #expect(EchoURL(text) == nil) }
}
