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
        ("*", "example.com", true),
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
}
