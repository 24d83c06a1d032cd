import Basics
import Failures
import SecureSocket
import TestSupport
import Testing

@Suite struct ProxySettingsTests {
    private static func settings(_ variables: [String: String]) -> ProxySettings {
        ProxySettings { variables[$0] }
    }

    @Test func lowerCaseWinsAndPlainHTTPTakesLowerCaseOnly() {
        let settings = Self.settings([
            "https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2", "HTTP_PROXY": "http://c:3",
        ])
        #expect(settings.proxy(forHost: "example.com") == "http://a:1")
        #expect(settings.proxy(forHost: "example.com", port: 80, isHTTPS: false) == nil)
        let all = Self.settings(["ALL_PROXY": "http://d:4"])
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
        let settings = Self.settings(["HTTPS_PROXY": "http://p:1", "NO_PROXY": exceptions])
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

    @Test(
        "what a proxy repeats of its user's name and password is not shown",
        arguments: ["secret", "pa%2Fss%20word-that-is-long", "x"])
    func proxies(password: String) throws {
        let proxy = try ProxyServer(parsing: "http://ann:\(password)@proxy.corp:3128")
        let request = String(decoding: proxy.connectRequest(toHost: "h", port: 443, userAgent: "u"), as: UTF8.self)
        let sent = try #require(request.split(separator: "\r\n").first { $0.hasPrefix("Proxy-Auth") })
        let basic = try #require(sent.split(separator: " ").last)
        let decoded = String(decoding: PercentEncoding.decode(password), as: UTF8.self)
        for reason in [
            String(sent), "no: \(basic)", "no: ann:\(password)", "no: \(decoded)", "no: ann:\(decoded)",
            "Basic \(basic)",
            "\u{1B}]0;\(password)\u{7}", "a \(basic.prefix(10))", String(repeating: "\(password) ", count: 1_000),
        ] {
            let why = proxy.refusal(status: 407, reason: reason, toHost: "h").why
            #expect(why.hasPrefix("HTTP 407") && why.unicodeScalars.count < 200, "\(why)")
            for secret in [password, decoded, String(basic.prefix(10))] where secret.utf8.count > 1 {
                #expect(!why.contains(secret), "\(why)")
            }
            #expect(!why.unicodeScalars.contains(where: ForeignText.isUnsafe))
        }
        #expect(proxy.refusal(status: 407, reason: "Not so", toHost: "h").why == "HTTP 407 Not so")
    }

    /// Against a real proxy.
    @Test(.enabled("tinyproxy is not installed here") { Tinyproxy.isInstalled })
    func tinyproxyUnderstandsTheRequest() async throws {
        let target = try LoopbackServer.echo()
        let proxy = try await Tinyproxy.start(login: "ann:s3cret")
        func firstLine(_ login: String) async throws -> String {
            let server = try ProxyServer(parsing: "http://\(login)127.0.0.1:\(proxy.port)")
            let request = server.connectRequest(toHost: "127.0.0.1", port: target.port, userAgent: "eiced")
            return try await onThread {
                let socket = try LoopbackSocket.connect(port: proxy.port)
                try socket.write(request)
                return try socket.readLine()
            }
        }
        #expect(try await firstLine("ann:s3cret@").contains(" 200 "))
        #expect(try await firstLine("").contains(" 407 "))
    }
}
