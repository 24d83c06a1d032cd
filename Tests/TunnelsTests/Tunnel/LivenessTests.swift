import Testing

@testable import Tunnels

@Suite struct LivenessTests {
    @Test func anEndpointThatSpeaksIsNotAsked() {
        var liveness = Liveness(answersPings: false)
        #expect(liveness.fired(silence: .seconds(10)) == .wait(.seconds(20)))
    }

    @Test func silenceAfterAPingIsDeathWhereTheEndpointAnswers() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(20)))
        #expect(liveness.fired(silence: .seconds(50)) == .dead)
    }

    @Test func anAnswerIsLifeAndTheNextSilenceIsAskedAgain() {
        var liveness = Liveness(answersPings: false)
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(20)))
        liveness.ponged()
        #expect(liveness.fired(silence: .seconds(20)) == .wait(.seconds(10)))
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(20)))
        #expect(liveness.fired(silence: .seconds(50)) == .dead)
    }

    @Test func bytesAreAnAnswerToo() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(20)))
        #expect(liveness.fired(silence: .seconds(2)) == .wait(.seconds(28)))
    }

    @Test func aByteThatCameSoonAfterThePingIsAnAnswerAsWell() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.fired(silence: .seconds(34)) == .ping(thenWait: .seconds(20)))
        #expect(liveness.fired(silence: .seconds(19)) == .wait(.seconds(11)))
        #expect(liveness.probe() == .ping(thenWait: .seconds(10)))
        #expect(liveness.fired(silence: .seconds(11)) == .dead)
    }

    /// Looks are late by up to the tolerance, each of them.
    @Test func anEndpointThatAnswersIsFoundDeadWithinAMinute() {
        var liveness = Liveness(answersPings: true)
        let first = Liveness.pingAfter + Liveness.tolerance
        guard case .ping(let wait) = liveness.fired(silence: first) else { return #expect(Bool(false), "no ping") }
        let second = first + wait + Liveness.tolerance
        #expect(liveness.fired(silence: second) == .dead)
        #expect(second <= .seconds(60))
    }

    @Test func anEndpointThatNeverAnsweredIsAskedThreeTimesAndThenLeftAlone() {
        var liveness = Liveness(answersPings: false)
        for silence in [30, 50, 70] {
            #expect(liveness.fired(silence: .seconds(silence)) == .ping(thenWait: .seconds(20)))
        }
        #expect(liveness.fired(silence: .seconds(90)) == .stop)
        #expect(liveness.probe() == .stop)
    }

    @Test func aProbeAsksAtOnceAndWaitsShorter() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.probe() == .ping(thenWait: .seconds(10)))
        #expect(liveness.fired(silence: .seconds(4_000)) == .dead)
    }

    @Test func anAnsweredProbeIsForgotten() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.probe() == .ping(thenWait: .seconds(10)))
        liveness.ponged()
        #expect(liveness.fired(silence: .seconds(9)) == .wait(.seconds(21)))
    }
}
