import Testing

@testable import InstanceConnect

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

    private func spares() -> SparePolicy { SparePolicy(wanted: 1, timeToLive: .seconds(60)) }

    @Test("an old death between two young ones keeps spares")
    func youngOldYoung() {
        var policy = spares()
        policy.died(age: .seconds(1), at: start)
        policy.died(age: .seconds(30), at: start)
        policy.died(age: .seconds(1), at: start)
        #expect(policy.pausedUntil == nil)
        #expect(policy.target(lastUse: start, at: start) == 1)
    }

    @Test("a spare that lived five seconds did not die young")
    func fiveSecondsAreNotYoung() {
        var policy = spares()
        for _ in 0..<3 { policy.died(age: .seconds(5), at: start) }
        #expect(policy.pausedUntil == nil)
        #expect(policy.timeToLive == .seconds(4))
        policy = spares()
        for _ in 0..<2 { policy.died(age: .milliseconds(4_999), at: start) }
        #expect(policy.pausedUntil == start + .seconds(3_600))
        #expect(policy.timeToLive == .seconds(60), "young deaths say nothing of a lifetime")
    }

    @Test("after a pause it takes two young deaths again")
    func pauseBeginsAgain() {
        var policy = spares()
        for _ in 0..<2 { policy.died(age: .seconds(1), at: start) }
        let later = start + .seconds(3_600)
        policy.died(age: .seconds(1), at: later)
        #expect(policy.target(lastUse: later, at: later) == 1)
        policy.died(age: .seconds(1), at: later)
        #expect(policy.target(lastUse: later, at: later) == 0)
    }

    @Test("settings that change replace the learned lifetime and keep the pause")
    func changedSettings() {
        var policy = spares()
        policy.died(age: .seconds(20), at: start)
        policy.apply(wanted: 3, timeToLive: .seconds(40))
        #expect(policy.timeToLive == .seconds(40))
        #expect(policy.target(lastUse: start, at: start) == 3)
        for _ in 0..<2 { policy.died(age: .seconds(1), at: start) }
        policy.apply(wanted: 2, timeToLive: .seconds(40))
        #expect(policy.target(lastUse: start, at: start) == 0)
    }
}
