import Basics
import Testing

@testable import AWS

@Suite struct SignatureFlawTests {
    private static let temporary = Credentials(accessKeyID: "ASIA", secretAccessKey: "s", sessionToken: "t")
    private static let lasting = Credentials(accessKeyID: "AKIA", secretAccessKey: "s")

    /// The service's clock is `ahead` seconds ahead of the signature's time; nil where the answer has no Date.
    private func flaw(
        _ code: String, _ message: String = "", ahead: Int64?, credentials: Credentials = lasting
    ) -> SignatureFlaw? {
        let signedAt = WallTime(secondsSinceEpoch: 1_000_000)
        let error = ServiceError(status: 403, code: code, message: message, requestID: nil)
        return SignatureFlaw(
            error, signedAt: signedAt, serverTime: ahead.map { signedAt.advanced(by: $0) }, credentials: credentials)
    }

    private func clock(_ ahead: Int64) -> SignatureFlaw { .clock(WallTime(secondsSinceEpoch: 1_000_000 + ahead)) }

    @Test func aSignatureOfAnotherTimeIsTheClocksFault() {
        #expect(flaw("RequestTimeTooSkewed", ahead: 3_600) == clock(3_600))
        #expect(flaw("RequestExpired", ahead: -3_600) == clock(-3_600))
        #expect(flaw("InvalidSignatureException", "Signature expired: 2026…", ahead: 61) == clock(61))
        #expect(flaw("SignatureDoesNotMatch", "Signature not yet current: 2026…", ahead: -301) == clock(-301))
        #expect(flaw("RequestTimeTooSkewed", ahead: nil) == nil, "nothing to learn from")
        #expect(flaw("RequestTimeTooSkewed", ahead: 5) == nil, "the clock is right")
    }

    @Test func aDenialIsTheClocksFaultOnlyWhereNoSignatureCouldBeRight() {
        #expect(flaw("AuthFailure", ahead: 301) == clock(301))
        #expect(flaw("AuthFailure", ahead: 299) == nil)
        #expect(flaw("AccessDeniedException", ahead: nil) == nil)
    }

    @Test func expiredTokensAreTheCredentialsFault() {
        #expect(flaw("ExpiredTokenException", ahead: 0) == .credentials)
        #expect(flaw("ExpiredToken", ahead: nil) == .credentials)
        // EC2 says it of both; where the clock is right it is the token.
        #expect(flaw("RequestExpired", ahead: 0, credentials: Self.temporary) == .credentials)
        #expect(flaw("RequestExpired", ahead: 0) == nil)
        #expect(flaw("RequestExpired", ahead: 900, credentials: Self.temporary) == clock(900))
    }

    @Test func nothingElseIsSignedAgain() {
        for code in ["Throttling", "InternalError", "InvalidParameter", ""] {
            #expect(flaw(code, ahead: 3_600) == nil, "\(code)")
        }
    }
}
