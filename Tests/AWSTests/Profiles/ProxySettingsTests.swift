import Failures
import Testing

@testable import AWS

@Suite struct ProxySettingsTests {
    @Test func lowerCaseWinsAndPlainHTTPTakesLowerCaseOnly() {
        let settings = ProxySettings(
            environment: Environment([
                "https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2", "HTTP_PROXY": "http://c:3",
            ]))
        #expect(settings.proxy(forHost: "example.com") == "http://a:1")
        #expect(settings.proxy(forHost: "example.com", port: 80, isHTTPS: false) == nil)
        let all = ProxySettings(environment: Environment(["ALL_PROXY": "http://d:4"]))
        #expect(all.proxy(forHost: "example.com", port: 80, isHTTPS: false) == "http://d:4")
    }

    @Test(arguments: [
        ("*", "example.com", true), (" * ", "example.com", true), ("*,other.com", "example.com", false),
        ("example.com", "example.com", true),
        ("example.com", "a.example.com", true),
        ("example.com", "badexample.com", false),
        (".example.com", "example.com", true),
        ("EXAMPLE.com", "a.example.COM.", true),
        ("other, example.com", "example.com", true),
        ("other example.com", "example.com", true),
        ("example.com:443", "example.com", true),
        ("example.com:8443", "example.com", false),
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.0.0.0/8", "11.1.2.3", false),
        ("10.0.0.0/33", "10.0.0.0", false),
        ("10.1.2.3", "10.1.2.3", true),
        ("0.0.0.0/0", "10.1.2.3", true),
        ("2001:db8::/32", "2001:db8::5", true),
        ("[2001:db8::5]", "2001:db8::5", true),
        ("[2001:db8::5]:443", "2001:db8::5", true),
        ("2001:db8:0::5", "[2001:db8::5]", true),
        ("169.254.169.254", "169.254.169.254", true),
        ("le.com", "example.com", false),
        ("*.example.com", "a.example.com", false),
        ("", "example.com", false),
    ])
    func exceptionsFollowCurl(exceptions: String, host: String, isDirect: Bool) {
        let settings = ProxySettings(
            environment: Environment(["HTTPS_PROXY": "http://p:1", "NO_PROXY": exceptions]))
        #expect((settings.proxy(forHost: host) == nil) == isDirect)
    }

    @Test func namesAndPasswordsAreRedacted() {
        #expect(ProxySettings.redact("http://ann:p@ss@proxy:3128") == "http://proxy:3128")
        #expect(ProxySettings.redact("proxy:3128") == "proxy:3128")
    }

    @Test(arguments: [
        ("http://proxy:3128", "http://proxy:3128"), ("proxy:3128", "http://proxy:3128"), ("proxy", "http://proxy:1080"),
        ("http://proxy:80/", "http://proxy:80"), ("https://proxy", "https://proxy:443"),
        ("HTTPS://ann:s3cret@proxy:8443/", "https://proxy:8443"), ("http://ann:p@ss@[::1]:1", "http://[::1]:1"),
    ])
    func proxiesAreReadAsCurlReadsThem(url: String, description: String) throws {
        #expect(try ProxyServer(parsing: url).description == description)
    }

    @Test func theProxyIsAskedWithBasicAuthentication() throws {
        let proxy = try ProxyServer(parsing: "http://ann:s3%20cret@proxy:3128")
        let request = String(
            decoding: proxy.connectRequest(toHost: "a.example", port: 443, userAgent: "eiced/1"), as: UTF8.self)
        #expect(
            request
                == "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: eiced/1\r\n"
                + "Proxy-Authorization: Basic YW5uOnMzIGNyZXQ=\r\n\r\n")
        let plain = try ProxyServer(parsing: "http://proxy:3128").connectRequest(
            toHost: "2001:db8::1", port: 8_443, userAgent: "x")
        #expect(String(decoding: plain, as: UTF8.self).hasPrefix("CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n"))
        #expect(!String(decoding: plain, as: UTF8.self).contains("Authorization"))
    }

    @Test func proxiesThatCannotBeUsedAreNamedWithoutTheirPassword() throws {
        for url in ["socks5://ann:s3cret@h:1", "http://ann:s3cret@", "http://ann:s3cret@h:99999", ""] {
            let failure = #expect(throws: Failure.self) { try ProxyServer(parsing: url) }
            #expect(failure?.kind == .configuration)
            #expect(failure.map { "\($0)".contains("s3cret") } == false)
        }
        let proxy = try ProxyServer(parsing: "http://ann:s3cret@h:1")
        var dumped = ""
        dump(proxy, to: &dumped)
        #expect(!dumped.contains("s3cret") && !dumped.contains("YW5u"))
        let refusal = proxy.refusal(status: 407, reason: "Proxy Authentication Required", toHost: "a.example")
        #expect(refusal.sentence == "proxy http://h:1 refused a.example: HTTP 407 Proxy Authentication Required")
    }
}
