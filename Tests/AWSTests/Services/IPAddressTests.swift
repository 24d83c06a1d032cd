import Failures
import Testing

@testable import AWS

@Suite struct IPAddressTests {
    @Test(
        "a network contains its own addresses up to the last bit of its prefix",
        arguments: [
            ("10.0.0.0", 8, "10.255.255.255", true), ("10.0.0.0", 8, "11.0.0.0", false),
            ("10.0.0.0", 9, "10.127.255.255", true), ("10.0.0.0", 9, "10.128.0.0", false),
            ("192.168.1.128", 25, "192.168.1.255", true), ("192.168.1.128", 25, "192.168.1.127", false),
            ("192.168.1.4", 31, "192.168.1.5", true), ("192.168.1.4", 31, "192.168.1.6", false),
            ("192.168.1.4", 32, "192.168.1.4", true), ("192.168.1.4", 32, "192.168.1.5", false),
            ("192.168.1.4", 33, "192.168.1.4", false), ("192.168.1.4", -1, "192.168.1.4", false),
            ("1.2.3.4", 0, "250.1.1.1", true), ("2001:db8::", 33, "2001:db8:7fff::1", true),
            ("2001:db8::", 33, "2001:db8:8000::1", false), ("fd00::1", 128, "fd00::1", true),
            ("fd00::1", 128, "fd00::2", false), ("fd00::1", 129, "fd00::1", false), ("::", 0, "fd00::2", true),
            // An IPv4 address is in no IPv6 network, and the other way round.
            ("::", 0, "10.0.0.1", false), ("0.0.0.0", 0, "::1", false),
        ])
    func networks(network: String, length: Int, address: String, isIn: Bool) throws {
        let (network, address) = (try #require(IPAddress(network)), try #require(IPAddress(address)))
        #expect(address.isIn(network, prefixLength: length) == isIn)
    }

    @Test(
        "loopback addresses are 127.0.0.0/8 and ::1",
        arguments: [
            ("127.0.0.1", true), ("127.255.255.254", true), ("126.255.255.255", false), ("128.0.0.1", false),
            ("::1", true), ("::", false), ("::2", false), ("100::1", false), ("::ffff:127.0.0.1", false),
        ])
    func loopback(address: String, isLoopback: Bool) throws {
        #expect(try #require(IPAddress(address)).isLoopback == isLoopback)
    }

    @Test(
        "a text that is no address is refused",
        arguments: ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "fe80::1%eth0", "[::1]", "a"])
    func rubbish(text: String) { #expect(IPAddress(text) == nil) }

    @Test("an address is written in its shortest usual form")
    func description() throws {
        #expect(try #require(IPAddress("2001:DB8:0:0::0005")).description == "2001:db8::5")
        #expect(try #require(IPAddress("10.0.1.5")).description == "10.0.1.5")
    }
}

@Suite struct Base64Tests {
    /// RFC 4648, section 10, and all six bits.
    @Test(
        "bytes are encoded with their padding",
        arguments: [
            ([], ""), ([0x66], "Zg=="), ([0x66, 0x6F], "Zm8="), ([0x66, 0x6F, 0x6F], "Zm9v"),
            ([0x66, 0x6F, 0x6F, 0x62], "Zm9vYg=="), ([0xFB, 0xEF, 0xFF], "++//"), ([0, 0, 0], "AAAA"), ([0xFF], "/w=="),
        ] as [([UInt8], String)])
    func encoding(bytes: [UInt8], text: String) { #expect(Base64.encode(bytes) == text) }
}

@Suite struct PercentEncodingTests {
    @Test("only the unreserved characters stand as they are")
    func unreserved() {
        let kept = "ABCXYZabcxyz0189-._~"
        #expect(PercentEncoding.encode(kept) == kept)
        #expect(PercentEncoding.encode("@[`{/:!*'() é") == "%40%5B%60%7B%2F%3A%21%2A%27%28%29%20%C3%A9")
        #expect(PercentEncoding.encode("a/b c", keepingSlash: true) == "a/b%20c")
    }

    @Test(
        "percent signs that begin no byte stay",
        arguments: [
            ("a%2Fb", "a/b"), ("%2f%2F", "//"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("100%25", "100%"),
            ("a%20", "a "),
        ])
    func decoding(text: String, decoded: String) {
        #expect(String(decoding: PercentEncoding.decode(text), as: UTF8.self) == decoded)
    }
}

@Suite struct TextTests {
    @Test("an excerpt has as many characters as its limit")
    func limit() {
        #expect(ForeignText.excerpt("abcd", limit: 4) == "abcd")
        #expect(ForeignText.excerpt("abcde", limit: 4) == "abcd…")
        #expect(ForeignText.excerpt("", limit: 0) == "")
    }

    @Test("an excerpt is one line without characters that control a terminal")
    func control() {
        #expect(
            ForeignText.excerpt(" a\nb\tc\r\u{1B}[2J\u{7F}\u{202E}\u{2028}d ")
                == "a b c \\u{1B}[2J\\u{7F}\\u{202E}\\u{2028}d")
    }

    @Test(
        "a host label has 1 to 63 letters, digits and inner hyphens",
        arguments: [
            ("a", true), ("eu-west-1", true), ("A9", true), (String(repeating: "a", count: 63), true),
            (String(repeating: "a", count: 64), false), ("", false), ("-a", false), ("a-", false), ("a.b", false),
            ("a_b", false), ("a/b", false), ("a:b", false), ("a@b", false), ("a[b", false), ("a`b", false),
            ("a{b", false),
        ])
    func hostLabels(text: String, isOne: Bool) { #expect(((try? Region.checked(text)) != nil) == isOne) }

    @Test("a key id is shortened, and a short one is not shown at all")
    func keyIDs() {
        #expect(Credentials.shorten(keyID: "AKIAIOSFODNN7EXAMPLE") == "AKIA…MPLE")
        #expect(Credentials.shorten(keyID: "123456789") == "1234…6789")
        #expect(Credentials.shorten(keyID: "12345678") == "…")
    }

    @Test("the region that is missing is set for the profile that lacks it")
    func missingRegion() {
        #expect(Region.missing(profile: "default").hint?.hasSuffix("aws configure set region eu-west-1") == true)
        #expect(Region.missing(profile: "dev").hint?.hasSuffix(" --profile dev") == true)
    }
}
