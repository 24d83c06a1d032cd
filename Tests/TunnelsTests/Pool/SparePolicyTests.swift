import Testing

@testable import Tunnels

@Suite struct SparePolicyTests {
    private let start = ContinuousClock.now

    @Test func sparesAreKeptForTenMinutesAfterTheLastUse() {
        let policy = SparePolicy(wanted: 2, timeToLive: .seconds(60))
        #expect(policy.target(lastUse: start, at: start + .seconds(599)) == 2)
        #expect(policy.target(lastUse: start, at: start + .seconds(600)) == 0)
    }

    @Test func theTimeToLiveIsLearnedFromWhatTheServiceCloses() {
        var policy = SparePolicy(wanted: 1, timeToLive: .seconds(60))
        policy.died(age: .seconds(20), at: start)
        #expect(policy.timeToLive == .seconds(16))
        policy.died(age: .seconds(100), at: start)
        #expect(policy.timeToLive == .seconds(16))
    }

    @Test func twoThatDieYoungStopSparesForAnHour() {
        var policy = SparePolicy(wanted: 1, timeToLive: .seconds(60))
        policy.died(age: .seconds(1), at: start)
        #expect(policy.target(lastUse: start, at: start) == 1)
        policy.died(age: .seconds(1), at: start)
        #expect(policy.target(lastUse: start, at: start) == 0)
        #expect(policy.pausedUntil == start + .seconds(3_600))
        #expect(policy.target(lastUse: start + .seconds(3_600), at: start + .seconds(3_600)) == 1)
    }

    @Test func oneOfUseBetweenTwoYoungDeathsKeepsSpares() {
        var policy = SparePolicy(wanted: 1, timeToLive: .seconds(60))
        policy.died(age: .seconds(1), at: start)
        policy.used()
        policy.died(age: .seconds(1), at: start)
        #expect(policy.target(lastUse: start, at: start) == 1)
    }
}
