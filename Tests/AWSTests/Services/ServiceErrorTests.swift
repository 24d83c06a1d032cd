import Failures
import Testing

@testable import AWS

@Suite struct ServiceErrorTests {
    private func error(_ status: Int, _ code: String, _ message: String = "m") -> ServiceError {
        ServiceError(status: status, code: code, message: message, requestID: nil)
    }

    static let classes: [ServiceError.Class: [String]] = [
        .expiredCredentials: ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"],
        .clockSkew: ["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"],
        .accessDenied: [
            "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure", "InvalidClientTokenId",
            "UnrecognizedClientException", "InvalidAccessKeyId", "OptInRequired", "Blocked", "PendingVerification",
            "MissingAuthenticationToken", "UnauthorizedException", "ForbiddenException", "SignatureDoesNotMatch",
            "InvalidSignatureException",
        ],
        .throttled: [
            "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded",
            "TooManyRequestsException",
            "RequestThrottled", "RequestThrottledException", "SlowDown", "BandwidthLimitExceeded",
            "LimitExceededException", "PriorRequestNotComplete", "ProvisionedThroughputExceededException",
        ],
        .unavailable: ["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"],
        .unknownInstance: ["InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"],
        .unknownEndpoint: ["InvalidInstanceConnectEndpointId.NotFound", "InvalidInstanceConnectEndpointId.Malformed"],
        .other: ["InvalidParameterValue", ""],
    ]

    @Test("a code means the same with any status", arguments: classes.keys)
    func codes(expected: ServiceError.Class) throws {
        for code in try #require(Self.classes[expected]) {
            for status in [400, 403] { #expect(error(status, code).classification == expected, "\(code)") }
        }
    }

    @Test(
        "an unknown code is judged by its status",
        arguments: [
            (499, ServiceError.Class.other), (500, .unavailable), (503, .unavailable), (599, .unavailable),
            (428, .other), (429, .throttled), (430, .other),
        ])
    func statuses(status: Int, expected: ServiceError.Class) {
        #expect(error(status, "New").classification == expected)
        #expect(error(status, "AccessDenied").classification == .accessDenied)
    }

    @Test("a signature that does not match is the clock's fault only where the message says so")
    func signatures() {
        for code in ["SignatureDoesNotMatch", "InvalidSignatureException"] {
            #expect(error(403, code, "Signature expired: 2015…").classification == .clockSkew)
            #expect(error(403, code, "Signature not yet current: 2015…").classification == .clockSkew)
            #expect(error(403, code, "The signature does not match").classification == .accessDenied)
        }
    }

    @Test("each class is a failure of its own kind")
    func kinds() {
        let credentials = Credentials(accessKeyID: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "s", sessionToken: "t")
        func kind(_ status: Int, _ code: String, _ credentials: Credentials? = nil) -> Failure.Kind {
            error(status, code).failure("cannot look", credentials: credentials).kind
        }
        #expect(
            kind(400, "ExpiredToken") == .expiredCredentials
                && kind(400, "ExpiredToken", credentials) == .expiredCredentials)
        #expect(kind(400, "RequestExpired", credentials) == .expiredCredentials)
        #expect(
            kind(400, "RequestExpired") == .accessDenied
                && kind(400, "RequestTimeTooSkewed", credentials) == .accessDenied)
        #expect(kind(403, "AccessDenied") == .accessDenied)
        #expect(kind(400, "Throttling") == .throttled)
        #expect(kind(500, "") == .serviceUnavailable)
        #expect(kind(400, "InvalidInstanceID.NotFound") == .unknownTarget)
        #expect(kind(400, "InvalidInstanceConnectEndpointId.NotFound") == .noEndpoint)
        #expect(kind(400, "New") == .configuration)
        #expect(kind(399, "") == .protocolMismatch)
    }

    @Test("the summary has what is there")
    func summary() {
        #expect(error(400, "Code", "text").summary == "Code: text (HTTP 400)")
        #expect(error(400, "", "").summary == " (HTTP 400)")
        #expect(
            ServiceError(status: 400, code: "Code", message: "", requestID: "r-1").summary
                == "Code (HTTP 400, request r-1)")
    }

    @Test(
        "the error bodies of JSON services are read in each of their forms",
        arguments: [
            (#"{"__type":"com.amazonaws#ForbiddenException","message":"no"}"#, [], "ForbiddenException", "no"),
            (
                #"{"message":"no"}"#, [("X-Amzn-ErrorType", "UnauthorizedException:http://x")], "UnauthorizedException",
                "no"
            ),
            (#"{"error":"invalid_grant","error_description":"old"}"#, [], "invalid_grant", "old"),
            (
                #"{"__type":"A","error":"b","message":"m","error_description":"d"}"#, [("x-amzn-errortype", "C")], "A",
                "m"
            ),
            (#"{"error":"b"}"#, [("x-amzn-errortype", "C")], "C", ""),
            ("rubbish", [], "", "the answer is not from AWS: it is not a JSON object"),
        ] as [(String, [(String, String)], String, String)])
    func json(body: String, headers: [(String, String)], code: String, message: String) {
        let error = ServiceError(json: HTTPResponse(status: 400, headers: headers, body: Array(body.utf8)))
        #expect(error.code == code && error.message == message)
    }
}
