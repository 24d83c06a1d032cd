import Testing

@testable import AWS

@Suite struct RedactionTests {
    @Test(arguments: [
        ("GET /x?a=1&X-Amz-Signature=abc123&b=2", "GET /x?a=1&X-Amz-Signature=…&b=2"),
        ("x-amz-security-token:IQoJ/x+y=\nhost:h", "x-amz-security-token=… host:h"),
        (#"{"X-Amz-Security-Token": "IQoJ/x+y=", "n": 1}"#, #"{"X-Amz-Security-Token=…", "n": 1}"#),
        (#"{\"X-Amz-Credential\":\"AKIA/20260101\"}"#, #"{\"X-Amz-Credential=…\"}"#),
        ("see X-Amz-Signature%3Dabc123", "see X-Amz-Signature=…"),
        (
            "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=abc123, more",
            "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=…, more"
        ),
    ])
    func whatFollowsTheNameOfASecretIsNotShown(text: String, shown: String) { #expect(Redaction.text(text) == shown) }

    @Test(arguments: [
        "The request signature we calculated does not match", "SignedHeaders=host;x-amz-security-token",
        "x-amz-signature",
        "SignatureDoesNotMatch",
    ])
    func whatIsNoSecretStays(text: String) { #expect(Redaction.text(text) == text) }

    @Test func aSecretIsTakenOutInEachOfItsForms() {
        let text =
            #"a/secret+of=ours a%2Fsecret%2Bof%3Dours a%252Fsecret%252Bof%253Dours a\/secret+of=ours a/secret+of"#
        let shown = String(decoding: Redaction.removing(["a/secret+of=ours"], from: Array(text.utf8)), as: UTF8.self)
        #expect(shown == "… … … … a/secret+of")
    }

    @Test func whatIsShortIsNoSecret() {
        #expect(Redaction.removing(["", "1234567"], from: Array("1234567".utf8)) == Array("1234567".utf8))
    }
}
