import Testing

@testable import AWS

@Suite struct RetryPolicyTests {
    /// Many clients that were throttled together do not come back together.
    @Test func pausesBeforeARetryDoubleAndDiffer() {
        let policy = RetryPolicy(attempts: 5, firstPause: .milliseconds(400))
        for (attempt, longest) in [(1, 400), (2, 800), (3, 1_600)] {
            #expect(policy.length(after: attempt, chance: 1) == .milliseconds(longest))
            #expect(policy.length(after: attempt, chance: 0) == .milliseconds(longest / 10))
            let half = policy.length(after: attempt, chance: 0.5)
            #expect(half > .milliseconds(longest / 2) && half < .milliseconds(longest * 3 / 5))
        }
    }
}
