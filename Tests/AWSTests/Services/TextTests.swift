import Failures
import Testing

@testable import AWS

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
