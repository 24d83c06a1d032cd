import Testing

@testable import Tunnels

@Suite struct AdaptiveCapTests {
    private let start = ContinuousClock.now

    @Test func aRefusalLowersTheCapToWhatIsOpen() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 12, jitter: 0, at: start)
        #expect(cap.effective == 12)
        #expect(cap.refusedSince == start)
        #expect(cap.notBefore == nil)
    }

    @Test func theCapNeverFallsBelowOneAndThenProbesWithBackoff() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 0, jitter: 0, at: start)
        #expect(cap.effective == 1)
        #expect(cap.notBefore == start + .milliseconds(500))
        cap.tick(at: start + .milliseconds(500))
        #expect(cap.notBefore == nil)
        cap.refused(open: 0, jitter: 0, at: start + .seconds(1))
        #expect(cap.notBefore == start + .seconds(2))
    }

    @Test func aCloseOfOursExcusesOneRefusalForFiveSeconds() {
        var cap = AdaptiveCap(20)
        cap.closed(at: start)
        cap.refused(open: 19, jitter: 0, at: start + .seconds(1))
        #expect(cap.effective == 20)
        #expect(cap.notBefore == start + .seconds(1) + .milliseconds(250))
        cap.refused(open: 19, jitter: 0, at: start + .seconds(2))
        #expect(cap.effective == 19)
        var late = AdaptiveCap(20)
        late.closed(at: start)
        late.refused(open: 19, jitter: 0, at: start + .seconds(6))
        #expect(late.effective == 19)
    }

    @Test func closesOfWeeksWithoutARefusalLeaveNothingBehind() {
        var cap = AdaptiveCap(20)
        for second in 0..<10_000 { cap.closed(at: start + .seconds(second)) }
        #expect(cap.excuses.count < 100)
        // And many at once all count.
        for _ in 0..<500 { cap.closed(at: start + .seconds(20_000)) }
        for _ in 0..<500 { cap.refused(open: 1, jitter: 0, at: start + .seconds(20_001)) }
        #expect(cap.effective == 20)
    }

    @Test func theCapRisesStepByStepAndSlowerAfterEachRefusal() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 12, jitter: 0, at: start)
        #expect(cap.riseAt == start + .seconds(5))
        cap.tick(at: start + .seconds(5))
        #expect(cap.effective == 13)
        cap.refused(open: 12, jitter: 0, at: start + .seconds(6))
        #expect(cap.effective == 12)
        #expect(cap.riseAt == start + .seconds(16))
    }

    @Test func dialsThatAreRefusedTogetherCountAsOneRefusal() {
        var cap = AdaptiveCap(20)
        for _ in 0..<8 { cap.refused(open: 12, jitter: 0, at: start) }
        #expect(cap.effective == 12)
        #expect(cap.riseAt == start + .seconds(5))
    }

    @Test func anAcceptedStepIsFollowedByTheNextAtOnce() {
        var cap = AdaptiveCap(14)
        cap.refused(open: 12, jitter: 0, at: start)
        cap.tick(at: start + .seconds(5))
        cap.accepted(open: 13, at: start + .seconds(6))
        cap.tick(at: start + .seconds(6))
        #expect(cap.effective == 14)
        #expect(cap.refusedSince == nil)
        #expect(cap.riseAt == nil)
    }

    /// A pool whose clients come and go would otherwise be back at its limit after each refusal, and most dials refused.
    @Test func aPlaceThatIsTakenAgainIsNoStep() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 5, jitter: 0, at: start)
        for second in 1...4 {
            cap.closed(at: start + .seconds(second))
            cap.accepted(open: 5, at: start + .seconds(second))
            cap.tick(at: start + .seconds(second))
            #expect(cap.effective == 5)
        }
    }

    /// One that was refused a sixth connection, and then was given it: the next is tried at once.
    private func capAfterAStep() -> AdaptiveCap {
        var cap = AdaptiveCap(20)
        cap.refused(open: 5, jitter: 0, at: start)
        cap.tick(at: start + .seconds(6))
        cap.accepted(open: 6, at: start + .seconds(6))
        cap.tick(at: start + .seconds(6))
        #expect(cap.effective == 7)
        return cap
    }

    @Test func aPlaceThatIsTakenAgainAfterAStepIsNoneEither() {
        var cap = capAfterAStep()
        cap.closed(at: start + .seconds(7))
        cap.accepted(open: 6, at: start + .seconds(7))
        cap.tick(at: start + .seconds(7))
        #expect(cap.effective == 7)
    }

    /// The service may still count what has just ended, after a step as before it.
    @Test func aCloseExcusesARefusalBelowWhatAStepReached() {
        var cap = capAfterAStep()
        cap.closed(at: start + .seconds(7))
        cap.refused(open: 5, jitter: 0, at: start + .seconds(7))
        #expect(cap.effective == 7)
        #expect(cap.notBefore != nil)
    }

    /// The first place that somebody else leaves is one more than none.
    @Test func theFirstOfOursIsAStep() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 0, jitter: 0, at: start)
        cap.accepted(open: 1, at: start + .seconds(1))
        cap.tick(at: start + .seconds(1))
        #expect(cap.effective == 2)
    }

    @Test func aCloseExcusesNoRefusalOfAStep() {
        var cap = AdaptiveCap(20)
        cap.refused(open: 5, jitter: 0, at: start)
        cap.tick(at: start + .seconds(5))
        #expect(cap.effective == 6)
        cap.closed(at: start + .seconds(6))
        cap.refused(open: 5, jitter: 0, at: start + .seconds(6))
        #expect(cap.effective == 5 && cap.notBefore == nil)
        // But one of the places that we had.
        cap.refused(open: 4, jitter: 0, at: start + .seconds(6))
        #expect(cap.effective == 5 && cap.notBefore == start + .seconds(6) + .milliseconds(250))
    }

    @Test func anotherConfiguredCapIsTakenOver() {
        var cap = AdaptiveCap(20)
        cap.configure(5)
        #expect(cap.effective == 5)
        cap.configure(20)
        #expect(cap.effective == 20)
        cap.refused(open: 12, jitter: 0, at: start)
        cap.configure(30)
        #expect(cap.effective == 12)
        cap.configure(10)
        #expect(cap.effective == 10)
        #expect(cap.refusedSince == nil)
    }
}
