import Basics
import Failures
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct RetryLimitsTests {
    private func attempts(_ kind: Failure.Kind, succeedsAt success: Int? = nil) async -> Int {
        let count = Atomic(0)
        let policy = RetryPolicy(attempts: 3, firstPause: .milliseconds(1))
        _ = try? await policy.run { () throws(Failure) in
            let number = count.add(1, ordering: .relaxed).newValue
            if number != success { throw Failure(kind, "no") }
        }
        return count.load(ordering: .relaxed)
    }

    @Test("only trouble that may pass by itself is tried again")
    func kinds() async {
        for kind in [Failure.Kind.throttled, .serviceUnavailable, .connectionLost] {
            #expect(await attempts(kind) == 3, "\(kind)")
            #expect(await attempts(kind, succeedsAt: 2) == 2, "\(kind)")
        }
        for kind in [
            Failure.Kind.deadline, .accessDenied, .tls, .nameNotResolved, .cannotConnect, .configuration, .needsLogin,
        ] {
            #expect(await attempts(kind) == 1, "\(kind)")
        }
    }

    @Test("pauses do not grow without end")
    func pauses() {
        let policy = RetryPolicy(attempts: 100, firstPause: .milliseconds(400))
        #expect(policy.length(after: 7, chance: 1) == .milliseconds(400 * 64))
        #expect(policy.length(after: 8, chance: 1) == .milliseconds(400 * 64))
        #expect(policy.length(after: 99, chance: 1) == .milliseconds(400 * 64))
    }

    @Test("a call has three attempts, and the pauses between them are short")
    func standard() {
        #expect(RetryPolicy().attempts == 3 && RetryPolicy().firstPause == .milliseconds(400))
    }
}

@Suite struct FreshnessTests {
    /// How credentials of a life of `life` seconds stand when `left` of them are left.
    private func state(life: Int64, left: Int64) -> CredentialChain.Freshness {
        let end = WallTime(secondsSinceEpoch: 1_000_000)
        return CredentialChain.state(
            of: Credentials(accessKeyID: "A", secretAccessKey: "s", expiration: end), obtained: end.advanced(by: -life),
            at: end.advanced(by: -left))
    }

    @Test("credentials of an hour are renewed ten minutes before their end and waited for in the last minute")
    func anHour() {
        #expect(state(life: 3_600, left: 601) == .fresh && state(life: 3_600, left: 600) == .due)
        #expect(state(life: 3_600, left: 61) == .due && state(life: 3_600, left: 60) == .late)
        #expect(state(life: 3_600, left: 1) == .late && state(life: 3_600, left: 0) == .expired)
        #expect(state(life: 3_600, left: -1) == .expired)
    }

    @Test("credentials of a short life are renewed in its last quarter and waited for in its last eighth")
    func aShortLife() {
        #expect(state(life: 240, left: 61) == .fresh && state(life: 240, left: 60) == .due)
        #expect(state(life: 240, left: 31) == .due && state(life: 240, left: 30) == .late)
        // Obtained with hardly any life left: as fresh as they can be.
        #expect(state(life: 2, left: 1) == .fresh && state(life: 2, left: 0) == .expired)
    }

    @Test("credentials without an end are fresh")
    func noEnd() {
        let time = WallTime(secondsSinceEpoch: 1)
        let credentials = Credentials(accessKeyID: "A", secretAccessKey: "s")
        #expect(CredentialChain.state(of: credentials, obtained: time, at: time) == .fresh)
        #expect(!credentials.isExpired(at: WallTime(secondsSinceEpoch: .max)))
    }

    @Test("credentials have expired from their last second on")
    func theLastSecond() {
        let end = WallTime(secondsSinceEpoch: 1_000)
        let credentials = Credentials(accessKeyID: "A", secretAccessKey: "s", expiration: end)
        #expect(!credentials.isExpired(at: end.advanced(by: -1)))
        #expect(credentials.isExpired(at: end) && credentials.isExpired(at: end.advanced(by: 1)))
    }
}

@Suite struct DateRulesTests {
    @Test(
        "a part of a date that is out of range makes it none",
        arguments: [
            "2015-00-30T12:36:00Z", "2015-08-00T12:36:00Z", "2015-08-32T12:36:00Z", "2015-08-30T24:00:00Z",
            "2015-08-30T12:60:00Z", "2015-08-30T12:36:61Z", "2015-08-30T12:36:00+0x:00", "2015-08-30T12:36:00+02:0",
            "2015-08-30T12:36:00+02:00Z", "0000-08-30T12:36:00Z", "15-08-30T12:36:00Z", "2015/08/30T12:36:00Z",
        ])
    func rfc3339(text: String) { #expect(WallTime(rfc3339: text) == nil) }

    @Test("a date may have the last of each part, a blank for the T, and minutes in its offset")
    func limits() {
        #expect(WallTime(rfc3339: "2016-12-31T23:59:60Z") == WallTime(rfc3339: "2017-01-01T00:00:00Z"))
        #expect(WallTime(rfc3339: "2015-08-30 12:36:00Z")?.secondsSinceEpoch == 1_440_938_160)
        #expect(WallTime(rfc3339: "2015-08-30T12:36:00")?.secondsSinceEpoch == 1_440_938_160)
        #expect(WallTime(rfc3339: "2015-08-30T18:06:00+05:30")?.secondsSinceEpoch == 1_440_938_160)
        #expect(WallTime(rfc3339: "2015-08-30T09:06:00-03:30")?.secondsSinceEpoch == 1_440_938_160)
        #expect(WallTime(rfc3339: "9999-12-31T23:59:59Z")?.rfc3339 == "9999-12-31T23:59:59Z")
        #expect(WallTime(rfc3339: "0001-01-01T00:00:00Z")?.rfc3339 == "0001-01-01T00:00:00Z")
    }

    @Test(
        "an HTTP date that is not in its one form is none",
        arguments: [
            "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 -1:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "06 Nov 1994 08:49:37 GMT", "",
        ])
    func httpDates(text: String) { #expect(WallTime(httpDate: text) == nil) }

    @Test("an HTTP date is read in each month and at the limits of its parts")
    func months() {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        for (index, month) in months.enumerated() {
            let number = index < 9 ? "0\(index + 1)" : "\(index + 1)"
            #expect(
                WallTime(httpDate: "Mon, 02 \(month) 2023 23:59:59 GMT")
                    == WallTime(rfc3339: "2023-\(number)-02T23:59:59Z"))
        }
        #expect(WallTime(httpDate: "Sat, 31 Dec 2016 23:59:60 GMT") == WallTime(rfc3339: "2017-01-01T00:00:00Z"))
    }

    @Test("instants beyond the years that can be written are brought to the nearest that can")
    func overflow() {
        #expect(WallTime(secondsSinceEpoch: .max).rfc3339 == "9999-12-31T23:59:59Z")
        #expect(WallTime(secondsSinceEpoch: .min).rfc3339 == "0001-01-01T00:00:00Z")
        let now = WallTime(secondsSinceEpoch: 1_440_938_160)
        #expect(now.advanced(by: .max).rfc3339 == "9999-12-31T23:59:59Z")
        #expect(now.advanced(by: .min).rfc3339 == "0001-01-01T00:00:00Z")
        #expect(now.advanced(by: -60).rfc3339 == "2015-08-30T12:35:00Z")
    }

    @Test("every day of four centuries has its date and is read back")
    func calendar() {
        var next = WallTime(secondsSinceEpoch: -5_000_000_000)
        while next.secondsSinceEpoch < 10_000_000_000 {
            #expect(WallTime(rfc3339: next.rfc3339) == next)
            // A prime number of days, so that all months and days come.
            next = next.advanced(by: 86_400 * 97 + 1)
        }
    }

    @Test("a clock is corrected from 31 seconds on, in both directions")
    func tolerance() {
        for sign in [1, -1] as [Int64] {
            let clock = SigningClock { WallTime(secondsSinceEpoch: 1_000) }
            let ec2 = SigningClock.Party.service("ec2")
            #expect(clock.learn(serverTime: WallTime(secondsSinceEpoch: 1_000 + 30 * sign), from: ec2) == .known)
            #expect(clock.correction == 0)
            #expect(clock.learn(serverTime: WallTime(secondsSinceEpoch: 1_000 + 31 * sign), from: ec2) == .learned)
            #expect(clock.correction == 31 * sign)
            // From there on the corrected time is what is compared.
            #expect(clock.learn(serverTime: WallTime(secondsSinceEpoch: 1_000 + 62 * sign), from: ec2) == .learned)
            #expect(clock.correction == 62 * sign)
        }
    }

    @Test("a denial is the clock's fault from 301 seconds on, and a skew from 31 seconds on")
    func windows() {
        func isClock(_ code: String, _ ahead: Int64) -> Bool {
            let signedAt = WallTime(secondsSinceEpoch: 1_000_000)
            let error = ServiceError(status: 403, code: code, message: "", requestID: nil)
            let flaw = SignatureFlaw(
                error, signedAt: signedAt, serverTime: signedAt.advanced(by: ahead), credentials: nil)
            return flaw == .clock(signedAt.advanced(by: ahead))
        }
        #expect(!isClock("AccessDenied", 300) && isClock("AccessDenied", 301) && isClock("AccessDenied", -301))
        #expect(!isClock("RequestTimeTooSkewed", 30) && isClock("RequestTimeTooSkewed", 31))
        #expect(isClock("RequestTimeTooSkewed", -31))
    }
}
