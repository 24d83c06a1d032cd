import AWS
import Basics
import Failures
import Testing

@testable import InstanceConnect

@Suite struct RefusalTests {
    private func refusal(_ status: Int, _ body: String, _ headers: [(String, String)] = []) -> Refusal {
        Refusal(status: status, headers: headers, body: Array(body.utf8))
    }

    private func failure(_ refusal: Refusal) throws -> Failure {
        refusal.failure(
            route: try OpenTunnelURLTests.route("10.0.1.5"), credentials: OpenTunnelURLTests.credentials(token: nil))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let status: Int
        let body: String
        let classification: Refusal.Class
        let kind: Failure.Kind
        var testDescription: String { "\(status) \(body.prefix(60))" }
    }

    static let cases = [
        Case(
            status: 400,
            body:
                #"{"ErrorCode":"InvalidParameter","Message":"The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request."}"#,
            classification: .portRefused, kind: .portRefused),
        Case(
            status: 403,
            body:
                #"{"ErrorCode":"AccessDeniedException","Message":"User: arn:aws:iam::1:user/a is not authorized to perform: ec2-instance-connect:OpenTunnel"}"#,
            classification: .accessDenied, kind: .accessDenied),
        Case(
            status: 400, body: #"{"ErrorCode":"InvalidParameter","Message":"PrivateIpAddress is not valid"}"#,
            classification: .other, kind: .upgradeRefused),
        Case(
            status: 403, body: #"{"ErrorCode":"ExpiredTokenException","Message":"The security token is expired"}"#,
            classification: .expiredCredentials, kind: .expiredCredentials),
        Case(
            status: 403,
            body:
                #"{"message":"Signature expired: 20150830T123600Z is now earlier than …","code":"InvalidSignatureException"}"#,
            classification: .clockSkew, kind: .accessDenied),
        Case(
            status: 400, body: #"{"ErrorCode":"ThrottlingException","Message":"Rate exceeded"}"#,
            classification: .throttled, kind: .throttled),
        Case(
            status: 400, body: #"{"ErrorCode":"ServiceQuotaExceededException","Message":"x"}"#,
            classification: .full, kind: .endpointFull),
        Case(
            status: 503, body: #"{"ErrorCode":"ConnectionLimitExceeded","Message":"x"}"#,
            classification: .full, kind: .endpointFull),
        Case(status: 429, body: "", classification: .full, kind: .endpointFull),
        Case(status: 503, body: "upstream", classification: .failing, kind: .serviceUnavailable),
        Case(
            status: 500, body: #"{"ErrorCode":"Odd","Message":"x"}"#, classification: .failing,
            kind: .serviceUnavailable),
        Case(status: 403, body: "", classification: .accessDenied, kind: .accessDenied),
        Case(status: 418, body: "{\"ErrorCode\": 7", classification: .other, kind: .upgradeRefused),
        Case(status: 404, body: "[]", classification: .other, kind: .upgradeRefused),
    ]

    @Test(arguments: cases) func refusalsAreClassified(_ example: Case) throws {
        let refusal = refusal(example.status, example.body)
        #expect(refusal.classification == example.classification)
        let failure = try failure(refusal)
        #expect(failure.kind == example.kind)
        #expect(failure.why.contains("HTTP \(example.status)"))
    }

    @Test func theBodyIsShownVerbatimWithTheRequestID() throws {
        let refusal = refusal(
            403, #"{"ErrorCode":"Weird","Message":"No \u2014 because"}"#,
            [("X-Amzn-RequestId", "req-1"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")])
        #expect(refusal.summary == "Weird: No — because (HTTP 403, request req-1)")
        #expect(refusal.serverTime?.secondsSinceEpoch == 784_111_777)
    }

    @Test func foreignTextCannotFoolATerminalNorFillTheLog() {
        let refusal = refusal(
            400, "{\"ErrorCode\":\"X\",\"Message\":\"a\\u001b[31mb\\nc\(String(repeating: "d", count: 5_000))\"}")
        #expect(!refusal.message.contains("\u{1B}"))
        #expect(!refusal.message.contains("\n"))
        #expect(refusal.message.count < 1_200)
    }

    @Test func presignedSecretsInABodyAreRedacted() {
        let text =
            "bad: GET /openTunnel?X-Amz-Credential=AKIDEXAMPLE%2F2015&X-Amz-Security-Token=SECRETTOKEN&x-amz-signature=abcdef0123&a=b x-amz-security-token: SECRETTOKEN"
        let refusal = refusal(403, text)
        #expect(!refusal.message.contains("SECRETTOKEN"))
        #expect(!refusal.message.contains("abcdef0123"))
        #expect(refusal.message.contains("&a=b"))
    }

    @Test func closesAreExplained() throws {
        let route = try OpenTunnelURLTests.route("10.0.1.5")
        let dead = EndpointClose(code: 1_011, reason: "Unable to connect to target")
        #expect(dead.isTargetUnreachable)
        let failure = try #require(dead.failure(route: route))
        #expect(failure.kind == .targetUnreachable)
        #expect(failure.sentence.contains("10.0.1.5"))
        #expect(failure.why.contains("1011 \"Unable to connect to target\""))
        #expect(EndpointClose(code: 1_000, reason: "bye").failure(route: route) == nil)
        let parrot = EndpointClose(code: 1_008, reason: "no abcdefgh for you", redaction: Redaction(["abcdefgh"]))
        #expect(parrot.reason == "no … for you")
        #expect(EndpointClose(code: nil, reason: "").failure(route: route) == nil)
        #expect(EndpointClose(code: 1_008, reason: "odd").failure(route: route)?.kind == .connectionLost)
    }

    @Test func anotherAccountsKeysAreNeverUsedByAccident() throws {
        let environment = Environment(["AWS_ACCESS_KEY_ID": "AKIAOTHEROTHEROTHER"])
        let failure = #expect(throws: Failure.self) {
            try EnvironmentGuard.check(callerKeyID: "AKIAMINEMINEMINE", profile: nil, environment: environment)
        }
        #expect(failure?.kind == .foreignCredentials)
        #expect(failure?.what.contains("AKIAMINEMINEMINE") == false)
        #expect(throws: Failure.self) {
            try EnvironmentGuard.check(callerKeyID: "AKIAMINEMINEMINE", profile: nil, environment: Environment([:]))
        }
        try EnvironmentGuard.check(callerKeyID: "AKIAMINEMINEMINE", profile: "dev", environment: environment)
        try EnvironmentGuard.check(callerKeyID: "AKIAOTHEROTHEROTHER", profile: nil, environment: environment)
        try EnvironmentGuard.check(callerKeyID: nil, profile: nil, environment: environment)
    }
}
