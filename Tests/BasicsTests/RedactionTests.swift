import Basics
import Failures
import Testing

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
    func whatFollowsTheNameOfASecretIsNotShown(text: String, shown: String) {
        #expect(Redaction.none.text(text) == shown)
    }

    @Test(arguments: [
        "The request signature we calculated does not match", "SignedHeaders=host;x-amz-security-token",
        "x-amz-signature",
        "SignatureDoesNotMatch",
    ])
    func whatIsNoSecretStays(text: String) { #expect(Redaction.none.text(text) == text) }

    @Test func aSecretIsTakenOutInEachOfItsForms() {
        let text =
            #"a/secret+of=ours a%2Fsecret%2Bof%3Dours a%252Fsecret%252Bof%253Dours a\/secret+of=ours A%2FSECRET%2bof%3dours"#
        #expect(Redaction(["a/secret+of=ours"]).removing(from: text) == "… … … … …")
    }

    @Test func whatIsShortIsNoSecret() {
        #expect(Redaction(["", "1234567", nil]).removing(from: Array("1234567".utf8)) == Array("1234567".utf8))
    }

    private static let token =
        "IQoJb3JpZ2luX2VjEPT//////////wEaCWV1LXdlc3QtMSJHMEUCIQ" + String(repeating: "kZ8+q/", count: 40)

    @Test("a secret that was cut, broken over lines or changed in case is taken out as well")
    func partsOfSecrets() {
        let redaction = Redaction([Self.token])
        for text in [
            "said \(Self.token.prefix(100))", "said \(Self.token.suffix(30)).", "said \(Self.token.lowercased())",
            "said \(Self.token.prefix(40))\r\n \(Self.token.dropFirst(40).prefix(60))",
        ] {
            let shown = redaction.text(text)
            #expect(
                shown.hasPrefix("said …") && !shown.contains("IQoJ") && !shown.lowercased().contains("kz8+q"),
                "\(shown)")
        }
    }

    @Test("the id of a request is an id, and no secret") func requestIDs() {
        let signature = String(repeating: "0123456789abcdef", count: 4)
        let redaction = Redaction([Self.token, signature, "AKIAIOSFODNN7EXAMPLE"])
        for id in [
            "8f7724cf-496f-496e-8fe3-0123abcd4567", "req-1", "VJ2A0GM7D0QTEO1DC8MQR6Q6V3VV4KQNSO5AEMVJF66Q9ASUAAJG",
        ] {
            #expect(redaction.requestID(" \(id) ") == id)
        }
        for text in [
            nil, "", signature, "x\(signature.prefix(20))", "AKIAIOSFODNN7EXAMPLE", "akiaiosfodnn7example", Self.token,
            String(Self.token.prefix(20)), "a b", "a\u{1B}[2J", "a\r\nb", "a\u{202E}",
            String(repeating: "a", count: 16_384), "a…",
        ] {
            #expect(redaction.requestID(text) == nil, "\(text ?? "")")
        }
    }

    @Test(
        "a header or a setting that is repeated loses its value",
        arguments: [
            "Proxy-Authorization: Basic QW5uOnNlY3JldA==", "authorization=Bearer QW5uOnNlY3JldA==",
            "aws_secret_access_key = QW5uOnNlY3JldA==", #"{"SecretAccessKey": "QW5uOnNlY3JldA=="}"#,
            #"{\"SessionToken\":\"QW5uOnNlY3JldA==\"}"#, "AWS_SESSION_TOKEN=QW5uOnNlY3JldA==",
            "x-amz-sso_bearer_token: QW5uOnNlY3JldA==", "X-Amz-Security-Token=QW5u\\/OnNlY3JldA==",
        ])
    func namedSecrets(text: String) {
        let shown = Redaction.none.text(text)
        #expect(!shown.contains("QW5u") && !shown.contains("NlY3") && shown.contains("…"), "\(shown)")
    }

    @Test("a failure is redacted in all its parts and stays on one line") func failures() {
        let redaction = Redaction(["0123456789abcdef"])
        let failure = redaction.failure(
            Failure(.internal, "a 0123456789abcdef", why: "b\r\n0123456789abcdef", hint: "c \u{1B}[2J0123456789abcdef"))
        #expect(failure == Failure(.internal, "a …", why: "b\\r\\n…", hint: "c \\u{1B}[2J…"))
    }

    @Test("descriptions of a redaction show no secret") func descriptions() {
        let redaction = Redaction(["0123456789abcdef"])
        #expect(!"\(redaction) \(String(reflecting: redaction))".contains("0123"))
    }
}
