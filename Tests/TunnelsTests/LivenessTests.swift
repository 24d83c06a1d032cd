import Testing

@testable import Tunnels

@Suite struct LivenessTests {
    @Test func anEndpointThatSpeaksIsNotAsked() {
        var liveness = Liveness(answersPings: false)
        #expect(liveness.fired(silence: .seconds(10)) == .wait(.seconds(20)))
    }

    @Test func silenceAfterAPingIsDeathWhereTheEndpointAnswers() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(25)))
        #expect(liveness.fired(silence: .seconds(55)) == .dead)
    }

    @Test func anAnswerIsLifeAndTheNextSilenceIsAskedAgain() {
        var liveness = Liveness(answersPings: false)
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(25)))
        liveness.ponged()
        #expect(liveness.fired(silence: .seconds(25)) == .wait(.seconds(5)))
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(25)))
        #expect(liveness.fired(silence: .seconds(55)) == .dead)
    }

    @Test func bytesAreAnAnswerToo() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(25)))
        #expect(liveness.fired(silence: .seconds(2)) == .wait(.seconds(28)))
    }

    @Test func anEndpointThatNeverAnsweredIsAskedThreeTimesAndThenLeftAlone() {
        var liveness = Liveness(answersPings: false)
        for silence in [30, 55, 80] {
            #expect(liveness.fired(silence: .seconds(silence)) == .ping(thenWait: .seconds(25)))
        }
        #expect(liveness.fired(silence: .seconds(105)) == .stop)
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
