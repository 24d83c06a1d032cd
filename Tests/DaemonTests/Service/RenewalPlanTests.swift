import Testing

@testable import Daemon

@Suite struct RenewalPlanTests {
    private let start = ContinuousClock.now

    private func at(_ seconds: Int) -> ContinuousClock.Instant { start + .seconds(seconds) }

    @Test func atRestNothingIsDue() {
        var plan = RenewalPlan<String>()
        #expect(plan.next == nil)
        #expect(plan.due(at: start).isEmpty)
    }

    @Test func whatIsInUseIsRenewedAheadOfItsEnd() {
        var plan = RenewalPlan<String>()
        plan.used("web", at: start)
        #expect(plan.next == at(45))
        #expect(plan.due(at: at(44)).isEmpty)
        #expect(plan.due(at: at(45)) == ["web"])
        #expect(plan.next == nil, "it is under way")
        #expect(plan.due(at: at(46)).isEmpty)
        plan.renewed("web", until: at(105), at: at(46))
        #expect(plan.next == at(90))
        // Without a known end, by its own beat.
        #expect(plan.due(at: at(90)) == ["web"])
        plan.renewed("web", until: nil, at: at(91))
        #expect(plan.next == at(136))
    }

    @Test func anAnswerThatCameLateDoesNotMakeItBusy() {
        var plan = RenewalPlan<String>()
        plan.used("web", at: start)
        _ = plan.due(at: at(45))
        plan.renewed("web", until: at(60), at: at(59))
        #expect(plan.next == at(74))
    }

    @Test func whatNobodyUsesIsDroppedAndWakesNobody() {
        var plan = RenewalPlan<String>()
        plan.used("web", at: start)
        var now = start
        var renewals = 0
        while let next = plan.next {
            now = next
            for key in plan.due(at: now) {
                renewals += 1
                plan.renewed(key, until: now + .seconds(60), at: now)
            }
        }
        #expect(renewals == 13)
        #expect(now < at(600))
        // The next use begins anew.
        plan.used("web", at: at(700))
        #expect(plan.next == at(745))
    }

    @Test func eachUseKeepsItTenMinutesMore() {
        var plan = RenewalPlan<String>()
        plan.used("web", at: start)
        plan.used("web", at: at(500))
        #expect(plan.next == at(45), "the beat is not moved")
        _ = plan.due(at: at(590))
        plan.renewed("web", until: at(655), at: at(595))
        #expect(plan.next == at(640))
    }

    @Test func failuresAreTriedAgainLessAndLess() {
        var plan = RenewalPlan<String>()
        plan.used("web", at: start)
        var pauses: [Duration] = []
        var now = start
        while let next = plan.next {
            now = next
            for key in plan.due(at: now) { plan.failed(key, at: now) }
            if let next = plan.next { pauses.append(next - now) }
        }
        #expect(pauses == [10, 20, 40, 80, 160].map { .seconds($0) })
        #expect(now < at(600))
    }

    @Test func afterASleepNothingOldIsRenewed() {
        var plan = RenewalPlan<String>()
        plan.used("web", at: start)
        plan.used("db", at: start)
        plan.used("db", at: at(7_000))
        #expect(plan.due(at: at(7_200)) == ["db"])
        #expect(plan.next == nil)
    }

    @Test func aRenewalThatHangsHoldsUpNoOther() {
        var plan = RenewalPlan<String>()
        plan.used("hangs", at: start)
        _ = plan.due(at: at(45))
        plan.used("web", at: at(50))
        plan.used("hangs", at: at(60))
        #expect(plan.due(at: at(95)) == ["web"])
        plan.failed("hangs", at: at(105))
        #expect(plan.next == at(115))
        // One that ends after everybody has left is forgotten.
        _ = plan.due(at: at(115))
        plan.failed("hangs", at: at(900))
        plan.failed("web", at: at(900))
        #expect(plan.next == nil)
    }

    @Test("answers are renewed in the last quarter of their life, with a third of that as the margin")
    func times() {
        let times = RenewalTimes(timeToLive: .seconds(60))
        #expect(times.lead == .seconds(15))
        #expect(times.interval == .seconds(45))
        #expect(times.margin == .seconds(20))
        #expect(times.firstPause == .seconds(10))
        #expect(RenewalTimes().margin == times.margin, "the default is for answers that live a minute")
    }
}
