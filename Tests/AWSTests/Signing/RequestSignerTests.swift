import Basics
import Testing

@testable import AWS

/// AWS's published SigV4 test suite: key AKIDEXAMPLE, region us-east-1, service "service", 2015-08-30 12:36:00 UTC.
@Suite struct RequestSignerTests {
    private static let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    private static let time = WallTime(secondsSinceEpoch: 1_440_938_160)

    private static func signer(token: String? = nil, region: String = "us-east-1", service: String = "service")
        -> RequestSigner
    {
        let credentials = Credentials(accessKeyID: "AKIDEXAMPLE", secretAccessKey: secret, sessionToken: token)
        return RequestSigner(credentials: credentials, region: region, service: service)
    }

    struct Vector: Sendable, CustomTestStringConvertible {
        let name: String
        var method = "GET"
        var path = "/"
        var parameters: [(String, String)] = []
        var headers: [(String, String)] = []
        var body = ""
        let signature: String
        var testDescription: String { name }
    }

    static let vectors = [
        Vector(name: "get-vanilla", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            name: "get-vanilla-query-order-key-case", parameters: [("Param2", "value2"), ("Param1", "value1")],
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        Vector(
            name: "get-utf8", path: "/\u{1234}",
            signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        Vector(
            name: "get-space", path: "/example space/",
            signature: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        Vector(
            name: "get-relative-relative", path: "/example1/example2/../..",
            signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            name: "get-slash-dot-slash", path: "/./",
            signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        Vector(
            name: "get-slashes", path: "//example//",
            signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        Vector(
            name: "get-slash-pointless-dot", path: "/./example",
            signature: "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        Vector(
            name: "post-vanilla", method: "POST",
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        Vector(
            name: "post-header-value-case", method: "POST", headers: [("My-Header1", "VALUE1")],
            signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
        Vector(
            name: "get-header-value-trim", headers: [("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
        Vector(
            name: "post-x-www-form-urlencoded", method: "POST",
            headers: [("Content-Type", "application/x-www-form-urlencoded")], body: "Param1=value1",
            signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ]

    @Test(arguments: vectors) func headerSignaturesEqualThePublishedVectors(_ vector: Vector) throws {
        let headers = Self.signer().signedHeaders(
            method: vector.method, host: "example.amazonaws.com", path: vector.path, parameters: vector.parameters,
            headers: vector.headers, body: Array(vector.body.utf8), at: Self.time)
        let authorization = try #require(headers.first { $0.0 == "Authorization" }?.1)
        #expect(authorization.hasSuffix("Signature=\(vector.signature)"))
        #expect(authorization.contains("Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"))
    }

    @Test func theSessionTokenIsSentAndSigned() throws {
        // Expected value computed with botocore's SigV4Auth.
        let headers = Self.signer(token: "FwoGZXIvYXdzEBYaDExampleToken//+==").signedHeaders(
            method: "POST", host: "example.amazonaws.com", path: "/",
            headers: [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")],
            body: Array("Action=DescribeInstances&Version=2016-11-15".utf8), at: Self.time)
        #expect(headers.contains { $0.0 == "X-Amz-Security-Token" && $0.1 == "FwoGZXIvYXdzEBYaDExampleToken//+==" })
        let authorization = try #require(headers.first { $0.0 == "Authorization" }?.1)
        #expect(
            authorization
                == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                + "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
                + "Signature=a62c625ca327a3f9464fe496202451e087ec6939f6eebe9330d7b0d443139ca4")
    }

    @Test func repeatedHeadersAreJoinedInTheirOrder() {
        let request = CanonicalRequest(
            method: "GET", path: "/", query: "", headers: [("A", "2"), ("b", "x"), ("a", "1")], payloadHash: "h")
        #expect(request.text == "GET\n/\n\na:2,1\nb:x\n\na;b\nh")
    }

    @Test func queriesAreSortedByEncodedNameThenValue() {
        let query = CanonicalRequest.query([("b", "2"), ("a", "~"), ("a", " "), ("A", "/=+")])
        #expect(query == "A=%2F%3D%2B&a=%20&a=~&b=2")
    }
}
