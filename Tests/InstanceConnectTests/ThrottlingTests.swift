import AWS
import Testing

@testable import InstanceConnect

/// A full endpoint holds connections back for other reasons than one that was asked too often.
@Suite struct ThrottlingTests {
    private func classification(_ status: Int, _ code: String) -> Refusal.Class {
        Refusal(status: status, headers: [], body: Array(#"{"ErrorCode":"\#(code)","Message":"m"}"#.utf8))
            .classification
    }

    @Test(
        "a code that means too many requests is throttling, whatever its status",
        arguments: [
            "TooManyRequestsException", "TooManyRequests", "Throttling", "ThrottlingException", "RequestThrottled",
            "SlowDown", "SLOWDOWN",
        ])
    func throttling(code: String) {
        for status in [400, 429, 503] { #expect(classification(status, code) == .throttled, "\(status)") }
    }

    @Test(
        "a code that means a limit is a full endpoint", arguments: ["ServiceQuotaExceededException", "LimitExceeded"])
    func full(code: String) {
        for status in [400, 429, 503] { #expect(classification(status, code) == .full, "\(status)") }
    }

    @Test("a status without a code that is known decides")
    func statusAlone() {
        #expect(classification(429, "Odd") == .full)
        #expect(classification(500, "Odd") == .failing)
        #expect(classification(499, "Odd") == .other)
        #expect(classification(403, "Odd") == .other)
        #expect(classification(401, "") == .accessDenied)
        #expect(classification(403, "") == .accessDenied)
        #expect(classification(402, "") == .other)
    }

    @Test("only a refusal that names the remote port is about the port")
    func ports() {
        func classification(_ code: String, _ message: String) -> Refusal.Class {
            Refusal(status: 400, headers: [], body: Array(#"{"ErrorCode":"\#(code)","Message":"\#(message)"}"#.utf8))
                .classification
        }
        #expect(classification("InvalidParameter", "The RemotePort is not valid") == .portRefused)
        #expect(classification("InvalidParameter", "The address is not valid") == .other)
        #expect(classification("Odd", "The RemotePort is not valid") == .other)
    }
}
