import AWS
import Basics
import Failures
import Transport

/// What an endpoint says when it refuses an upgrade: an HTTP status and, mostly, a JSON body with `ErrorCode` and `Message`.
/// Few codes are published; unknown ones are shown as they are.
public struct Refusal: Sendable, Hashable {
    /// What a pool must know of a refusal.
    public enum Class: Sendable, Hashable {
        /// All places are taken, or a quota is used up: wait or go elsewhere.
        case full
        /// Asked too often: wait.
        case throttled
        /// The endpoint itself fails (5xx without a word on limits): go elsewhere for a while.
        case failing
        /// The signature's time is too far from the service's: correct the clock, sign again.
        case clockSkew
        /// The credentials have expired: renew them, sign again.
        case expiredCredentials
        case accessDenied
        case portRefused
        case other
    }

    public let status: Int
    /// `AccessDeniedException`; empty where the body names none.
    public let code: String
    /// On one line, without secrets.
    public let message: String
    /// `x-amzn-RequestId`: what CloudTrail's event carries.
    public let requestID: String?
    /// The service's clock, from the Date header.
    public let serverTime: WallTime?

    /// - Parameter redaction: knows what was sent and must not be shown, should the answer repeat it.
    public init(status: Int, headers: [(String, String)], body: [UInt8], redaction: Redaction = .none) {
        func header(_ name: String) -> String? { headers.first { $0.0.lowercased() == name }?.1 }
        let parsed = RefusalBody(body)
        self.status = status
        code = redaction.text(parsed?.code ?? Self.codeOfHeader(header("x-amzn-errortype")), limit: 120)
        message = redaction.text(parsed?.message ?? String(decoding: body.prefix(4_096), as: UTF8.self))
        requestID = redaction.requestID(header("x-amzn-requestid"))
        serverTime = header("date").flatMap { WallTime(httpDate: $0) }
    }

    public var classification: Class {
        let word = code.lowercased()
        if word.contains("throttl") || word.contains("toomanyrequests") || word == "slowdown" { return .throttled }
        if word.contains("quota") || word.contains("limit") { return .full }
        if status == 429 { return .full }
        switch error.classification {
        case .expiredCredentials: return .expiredCredentials
        case .clockSkew: return .clockSkew
        case .accessDenied: return .accessDenied
        default: break
        }
        if word == "invalidparameter", message.lowercased().contains("remoteport") { return .portRefused }
        if status >= 500 { return .failing }
        // Without a code the status alone speaks: 401 and 403 are about permission.
        return code.isEmpty && (status == 401 || status == 403) ? .accessDenied : .other
    }

    /// What was wrong with the signature, where signing again can put it right.
    public func flaw(of credentials: Credentials, signedAt: WallTime) -> SignatureFlaw? {
        switch classification {
        case .clockSkew, .expiredCredentials, .accessDenied:
            SignatureFlaw(error, signedAt: signedAt, serverTime: serverTime, credentials: credentials)
        default: nil
        }
    }

    private var error: ServiceError {
        ServiceError(status: status, code: code, message: message, requestID: requestID)
    }

    /// The refusal as people read it.
    public func failure(route: Route, credentials: Credentials) -> Failure {
        let endpoint = route.path.gateway.id
        let what = "endpoint \(endpoint) refused a tunnel to \(route.targetDescription) port \(route.remotePort)"
        switch classification {
        case .full:
            return Failure(
                .endpointFull, what, why: summary, hint: "eicectl status shows who uses the endpoint from here")
        case .throttled: return Failure(.throttled, what, why: summary)
        case .failing: return Failure(.serviceUnavailable, what, why: summary)
        case .clockSkew:
            return Failure(.accessDenied, what, why: summary, hint: "check this machine's clock: timedatectl status")
        case .expiredCredentials: return Failure.expired(credentials, why: summary)
        case .accessDenied:
            return Failure(
                .accessDenied, what, why: summary,
                hint:
                    "\(credentials.shortKeyID) from \(credentials.origin) needs ec2-instance-connect:OpenTunnel (docs/iam.md)"
            )
        case .portRefused:
            return Failure(.portRefused, what, why: summary, hint: "the service accepts the remote ports 22 and 3389")
        case .other: return Failure(.upgradeRefused, what, why: summary)
        }
    }

    /// `InvalidParameter: The specified … (HTTP 400, request 4a6c…)`.
    public var summary: String {
        let id = requestID.map { ", request \($0)" } ?? ""
        return [code, message].filter { !$0.isEmpty }.joined(separator: ": ") + " (HTTP \(status)\(id))"
    }

    /// `AccessDeniedException:http://…` as AWS's JSON services write it.
    private static func codeOfHeader(_ value: String?) -> String { String((value ?? "").prefix { $0 != ":" }) }
}
