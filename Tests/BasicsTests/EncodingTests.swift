import Basics
import Testing

@Suite struct Base64Tests {
    /// RFC 4648, section 10, and all six bits.
    @Test(
        "bytes are encoded with their padding",
        arguments: [
            ([], ""), ([0x66], "Zg=="), ([0x66, 0x6F], "Zm8="), ([0x66, 0x6F, 0x6F], "Zm9v"),
            ([0x66, 0x6F, 0x6F, 0x62], "Zm9vYg=="),
            (Array("fooba".utf8), "Zm9vYmE="), (Array("foobar".utf8), "Zm9vYmFy"), ([0xFB, 0xEF, 0xFF], "++//"),
            ([0, 0, 0], "AAAA"), ([0xFF], "/w=="),
        ] as [([UInt8], String)])
    func encoding(bytes: [UInt8], text: String) { #expect(Base64.encode(bytes) == text) }

    @Test(
        "a key is 22 digits of Base64 and two paddings",
        arguments: [
            ("dGhlIHNhbXBsZSBub25jZQ==", true), ("+/hlIHNhbXBsZSBub25jZQ==", true), ("dGhlIHNhbXBsZSBub25j!Q==", false),
            ("dGhlIHNhbXBsZSBub25jZQA=", false), ("dGhlIHNhbXBsZSBub25jZQ=A", false),
            ("dGhlIHNhbXBsZSBub25jZQ===", false),
            ("GhlIHNhbXBsZSBub25jZQ==", false), ("", false),
        ])
    func keys(text: String, isKey: Bool) { #expect(Base64.isSixteenBytes(text) == isKey) }
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
