import Basics
import Failures
import FoundationEssentials

/// An error answer of an AWS API: what its body says, verbatim but for what no message may carry.
public struct ServiceError: Error, Sendable, Hashable {
    public let status: Int
    /// `UnauthorizedOperation`; empty where the body names none.
    public let code: String
    public let message: String
    public let requestID: String?
    /// Whether the answer has no form of AWS's, so that something between this machine and AWS gave it.
    public let isForeign: Bool

    public init(status: Int, code: String, message: String, requestID: String?, isForeign: Bool = false) {
        self.status = status
        self.code = Redaction.none.text(code, limit: 120)
        self.message = Redaction.none.text(message)
        self.requestID = Redaction.none.requestID(requestID)
        self.isForeign = isForeign
    }

    /// Reads the error body of the query protocols: EC2's `Response/Errors/Error` and the others' `ErrorResponse/Error`.
    public init(xml response: HTTPResponse) {
        let document = try? XMLNode.parse(response.body)
        let root = document.flatMap { ["Response", "ErrorResponse"].contains($0.name) ? $0 : nil }
        guard root != nil || !ForeignAnswer.isPage(response.body) else {
            self.init(foreign: response, "it is a page")
            return
        }
        let error = root?.first("Error")
        self.init(
            status: response.status,
            code: error?.value("Code") ?? "",
            message: error?.value("Message") ?? String(response.text.prefix(4_096)),
            requestID: root?.first("RequestID")?.text ?? root?.first("RequestId")?.text
                ?? response.header("x-amzn-requestid"))
    }

    private init(foreign response: HTTPResponse, _ reason: String) {
        self.init(
            status: response.status, code: "", message: "the answer is not from AWS: \(reason)", requestID: nil,
            isForeign: true)
    }

    /// Reads the error body of the JSON protocols (SSO, OIDC): `__type` or the `x-amzn-ErrorType` header, and `message`; OIDC has
    /// `error` and `error_description`.
    init(json response: HTTPResponse) {
        let body = try? JSONDecoder().decode(JSONBody.self, from: Data(response.body))
        guard body != nil || response.header("x-amzn-errortype") != nil else {
            self.init(foreign: response, "it is not a JSON object")
            return
        }
        let type = body?.type ?? response.header("x-amzn-errortype") ?? body?.error ?? ""
        self.init(
            status: response.status,
            code: String(type.split(separator: "#").last ?? "").prefix { $0 != ":" }.description,
            message: body?.message ?? body?.errorDescription ?? "",
            requestID: response.header("x-amzn-requestid"))
    }

    private struct JSONBody: Decodable {
        var type: String?
        var message: String?
        var error: String?
        var errorDescription: String?

        enum CodingKeys: String, CodingKey {
            case type = "__type"
            case message, error
            case errorDescription = "error_description"
        }
    }

    public enum Class: Sendable, Hashable {
        case expiredCredentials, clockSkew, accessDenied, throttled, unavailable, unknownInstance, unknownEndpoint,
            other
    }

    /// What the code means (EC2 API Reference, "Common client errors"; STS and SSO common errors).
    public var classification: Class {
        switch code {
        case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired": .expiredCredentials
        case "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture": .clockSkew
        case "SignatureDoesNotMatch", "InvalidSignatureException":
            message.contains("Signature expired") || message.contains("Signature not yet current")
                ? .clockSkew : .accessDenied
        case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure", "InvalidClientTokenId",
            "UnrecognizedClientException", "InvalidAccessKeyId", "OptInRequired", "Blocked", "PendingVerification",
            "MissingAuthenticationToken", "UnauthorizedException", "ForbiddenException":
            .accessDenied
        case "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded",
            "TooManyRequestsException",
            "RequestThrottled", "RequestThrottledException", "SlowDown", "BandwidthLimitExceeded",
            "LimitExceededException",
            "PriorRequestNotComplete", "ProvisionedThroughputExceededException":
            .throttled
        case "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed": .unknownInstance
        case _ where code.hasPrefix("InvalidInstanceConnectEndpointId"): .unknownEndpoint
        case "InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout": .unavailable
        default: status == 429 ? .throttled : status >= 500 ? .unavailable : .other
        }
    }

    /// The failure as people read it. `what` says what was tried: "cannot look up i-0123".
    public func failure(_ what: String, credentials: Credentials?) -> Failure {
        let why = summary
        return switch classification {
        case .expiredCredentials:
            credentials.map { Failure.expired($0, why: why) } ?? Failure(.expiredCredentials, what, why: why)
        case .clockSkew where meansExpiredToken(of: credentials):
            credentials.map { Failure.expired($0, why: why) } ?? Failure(.expiredCredentials, what, why: why)
        case .clockSkew:
            Failure(.accessDenied, what, why: why, hint: "check this machine's clock: timedatectl status")
        case .accessDenied: Failure(.accessDenied, what, why: why, hint: hintOfDenial(credentials))
        case .throttled: Failure(.throttled, what, why: why)
        case .unavailable: Failure(.serviceUnavailable, what, why: why)
        case .unknownInstance: Failure(.unknownTarget, what, why: why, hint: "check the id, --region and --profile")
        case .unknownEndpoint: Failure(.noEndpoint, what, why: why, hint: "check --endpoint, --region and --profile")
        case .other where isForeign: Failure(.protocolMismatch, what, why: why, hint: ForeignAnswer.hint)
        case .other: Failure(status < 400 ? .protocolMismatch : .configuration, what, why: why)
        }
    }

    /// EC2 says `RequestExpired` of a late signature and of a session token that has ended alike: where the clock is right, it is
    /// the token.
    func meansExpiredToken(of credentials: Credentials?) -> Bool {
        code == "RequestExpired" && credentials?.sessionToken != nil
    }

    private func hintOfDenial(_ credentials: Credentials?) -> String? {
        guard let credentials else { return nil }
        return
            "the call was made with \(credentials.shortKeyID) from \(credentials.origin); docs/iam.md lists what it needs"
    }

    /// `UnauthorizedOperation: You are not … (HTTP 403, request 4a6c…)`.
    public var summary: String {
        let id = requestID.map { ", request \($0)" } ?? ""
        return [code, message].filter { !$0.isEmpty }.joined(separator: ": ") + " (HTTP \(status)\(id))"
    }
}
