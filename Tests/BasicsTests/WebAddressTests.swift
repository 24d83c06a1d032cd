import Basics
import Testing

@Suite struct WebAddressTests {
    @Test(arguments: [
        ("https://ec2.example.com", "ec2.example.com", "/", 443),
        ("http://127.0.0.1:8080/x/", "127.0.0.1:8080", "/x/", 8_080),
        ("HTTPS://[::1]:443/", "[::1]", "/", 443),
        ("http://[::1]", "[::1]", "/", 80),
    ])
    func addressesAreParsed(url: String, authority: String, path: String, port: Int) throws {
        let address = try #require(WebAddress(url))
        #expect(address.authority == authority)
        #expect(address.path == path)
        #expect(address.effectivePort == port)
    }

    @Test(arguments: [
        "", "ftp://x", "http://", "http://a:b", "http://a:0", "http://u@h", "http://h/?q", "http://h h", "http://[::1",
    ])
    func badAddressesAreRefused(url: String) { #expect(WebAddress(url) == nil) }

    @Test("a dot at the end of the host's name is left out")
    func finalDot() {
        #expect(WebAddress("https://ec2.example.com./x")?.url == "https://ec2.example.com/x")
        #expect(WebAddress("https://ec2.example.com.:8443")?.authority == "ec2.example.com:8443")
        #expect(WebAddress("https://./") == nil)
    }
}
