import Failures
import Testing
import Transport

@testable import Tunnels

/// Rules of a tunnel's life that single transcripts leave open: timers, second events, failures by kind.
@Suite struct TunnelRuleTests {
    private typealias Action = TunnelStateMachine.Action

    private func queued(
        alternatives: Int = 0, waitsForTarget: Bool = false, isWarm: Bool = false,
        maxDuration: Duration = .seconds(3_600)
    ) -> TunnelStateMachine {
        var machine = TunnelStateMachine(
            timeouts: TunnelTimeouts(),
            limits: .init(
                maxDuration: maxDuration, waitsForTarget: waitsForTarget, isWarm: isWarm, target: "i-0:22"))
        _ = machine.started()
        _ = machine.resolved(to: "eice-0", alternatives: alternatives)
        return machine
    }

    private func dialing(alternatives: Int = 0, waitsForTarget: Bool = false) -> TunnelStateMachine {
        var machine = queued(alternatives: alternatives, waitsForTarget: waitsForTarget)
        _ = machine.slotGranted(firstPhase: .connect)
        return machine
    }

    private func open() -> TunnelStateMachine {
        var machine = dialing()
        _ = machine.connected()
        return machine
    }

    private let full = Failure(.endpointFull, "no room")
    private let cut = Failure(.connectionLost, "eice-0 is gone")
    private let cancelled = TunnelStateMachine.Timer.beforeTheEnd.map(TunnelStateMachine.Action.cancel)

    // MARK: Failures of endpoints

    @Test("a failure of the gateway itself is tried at another one")
    func triedElsewhere() {
        var machine = dialing(alternatives: 1)
        #expect(
            machine.gatewayFailed(cut) == [
                .cancel(.phase), .cancel(.dial), .closeRemote, .blameGateway(cut), .releaseSlot, .start(.queue),
                .requestSlot,
            ])
    }

    @Test("a failure that every gateway would repeat is not")
    func notTriedElsewhere() {
        var machine = dialing(alternatives: 1)
        #expect(
            machine.failed(cut) == cancelled + [
                .cancel(.delivery), .cancel(.localLinger), .abortLocal, .cancel(.closeHandshake), .closeRemote,
                .releaseSlot, .report(.failed(cut)),
            ])
    }

    @Test("a failure after the upgrade blames no endpoint")
    func failureAfterTheUpgrade() {
        var machine = dialing(alternatives: 1, waitsForTarget: true)
        _ = machine.connected()
        let actions = machine.gatewayFailed(cut)
        #expect(!actions.contains(.blameGateway(cut)) && !actions.contains(.requestSlot))
        #expect(actions.last == .report(.failed(cut)))
    }

    // MARK: Events that come too late

    @Test("refusals and log-ins do not concern a tunnel past its upgrade")
    func eventsOfTheDialAfterIt() {
        var waiting = dialing(waitsForTarget: true)
        _ = waiting.connected()
        var opened = open()
        for machine in [waiting, opened] {
            var machine = machine
            #expect(machine.refusedAsFull(full) == [])
            #expect(machine.needsLogin(cut) == [])
            #expect(machine.loggedIn() == [])
            #expect(machine.resolved(to: "eice-1") == [])
        }
        #expect(opened.connected() == [] && opened.targetSpoke() == [] && opened.joined() == [])
        #expect(opened.reached(.tls) == [])
    }

    @Test("a phase that is reached twice starts its timer once")
    func phaseTwice() {
        var machine = dialing()
        #expect(machine.reached(.tls) == [.cancel(.phase), .start(.phase)])
        #expect(machine.reached(.tls) == [])
    }

    @Test("a refused tunnel that ends in the queue holds no slot any more")
    func endAfterARefusal() {
        var machine = dialing()
        _ = machine.refusedAsFull(full)
        #expect(
            machine.localPeer(is: .gone) == cancelled + [
                .withdrawFromQueue, .cancel(.delivery), .cancel(.localLinger), .closeLocal, .report(.clientLeft),
            ])
    }

    @Test("the queue's failure names its time while the endpoint has refused nothing")
    func queueFailure() {
        var machine = queued()
        guard case .report(let reason)? = machine.fired(.queue).last else {
            Issue.record("no report")
            return
        }
        #expect(reason.failure?.why == "waited 30s")
    }

    // MARK: Log-ins

    @Test("a log-in stops the look-up's timer and starts its own, and the other way round")
    func loginTimers() {
        let login = Failure(.needsLogin, "log in")
        var machine = queued()
        machine = TunnelStateMachine(
            timeouts: TunnelTimeouts(), limits: .init(maxDuration: .seconds(60), target: "i-0:22"))
        _ = machine.started()
        #expect(machine.needsLogin(login) == [.cancel(.resolve), .start(.login), .awaitLogin])
        #expect(machine.awaitsLogin)
        #expect(machine.loggedIn() == [.cancel(.login), .start(.resolve), .resolve])
        #expect(!machine.awaitsLogin)
        #expect(machine.fired(.login) == [], "the log-in is over")
        #expect(machine.loggedIn() == [])
        var dialing = dialing()
        #expect(
            dialing.needsLogin(login) == [
                .cancel(.phase), .cancel(.dial), .closeRemote, .releaseSlot, .start(.login), .awaitLogin,
            ])
    }

    // MARK: Lives

    @Test("a life of a minute starts no timer for a warning")
    func noWarning() {
        var machine = queued(maxDuration: .seconds(60))
        _ = machine.slotGranted(firstPhase: .connect)
        #expect(
            machine.connected() == [
                .cancel(.phase), .cancel(.dial), .start(.maxDuration), .start(.liveness), .announceOpen,
            ])
    }

    @Test("a warm tunnel for a silent target is ready with the upgrade, and its life begins then")
    func silentWarmTunnel() {
        var machine = queued(isWarm: true)
        _ = machine.slotGranted(firstPhase: .connect)
        #expect(
            machine.connected() == [
                .cancel(.phase), .cancel(.dial), .start(.warmth), .announceWarm, .start(.maxDuration),
                .start(.warning),
            ])
        #expect(machine.state == .warm)
        #expect(machine.localPeer(is: .halfClosed) == [.start(.secondLook)])
    }

    // MARK: The ends of the local side

    @Test("a client that breaks while the rest is delivered gets no more, and a close instead of a reset")
    func brokenWhileDraining() {
        var machine = open()
        _ = machine.remoteEnded(.remoteClosed)
        #expect(machine.localBroke() == [.cancel(.delivery), .cancel(.localLinger), .closeLocal])
        #expect(machine.delivered(unsent: 0) == [])
        #expect(machine.localBroke() == [])
        #expect(machine.fired(.delivery) == [])
        #expect(machine.remoteGone().last == .report(.remoteClosed))
    }

    @Test("after the time for delivery nothing is delivered any more")
    func deliveryIsOver() {
        var machine = open()
        _ = machine.remoteEnded(.remoteClosed)
        #expect(machine.fired(.delivery) == [.cancel(.delivery), .cancel(.localLinger), .abortLocal])
        #expect(machine.delivered(unsent: 0) == [])
        #expect(machine.localFinished() == [])
    }

    @Test("the end of file is sent once")
    func endOfFileOnce() {
        var machine = open()
        _ = machine.remoteEnded(.remoteClosed)
        #expect(machine.delivered(unsent: 0) == [.finishLocal, .start(.localLinger)])
        #expect(machine.delivered(unsent: 0) == [])
        #expect(machine.localFinished() == [.cancel(.delivery), .cancel(.localLinger), .closeLocal])
    }

    @Test("events of the local side that come before an end mean nothing to it")
    func localEventsBeforeAnEnd() {
        var machine = open()
        #expect(machine.delivered(unsent: 0) == [])
        #expect(machine.localFinished() == [])
        #expect(machine.localPeer(is: .halfClosed) == [], "it has not sent its end of file")
        var queued = queued()
        #expect(queued.localEnded() == [])
    }

    @Test("a second look is taken in every state in which a client may leave unnoticed")
    func secondLooks() {
        var machine = TunnelStateMachine(
            timeouts: TunnelTimeouts(), limits: .init(maxDuration: .seconds(60), target: "i-0:22"))
        #expect(machine.fired(.secondLook) == [])
        _ = machine.started()
        #expect(machine.fired(.secondLook) == [.examineLocalPeer])
        _ = machine.resolved(to: "eice-0")
        #expect(machine.fired(.secondLook) == [.examineLocalPeer])
        _ = machine.slotGranted(firstPhase: .connect)
        #expect(machine.fired(.secondLook) == [.examineLocalPeer])
        _ = machine.connected()
        #expect(machine.fired(.secondLook) == [])
        _ = machine.localEnded()
        #expect(machine.fired(.secondLook) == [], "the first look is not over")
        _ = machine.localPeer(is: .halfClosed)
        #expect(machine.fired(.secondLook) == [.examineLocalPeer])
        _ = machine.close(.shutdown)
        #expect(machine.fired(.secondLook) == [])
    }

    @Test("the drain counts the target's silence, to the moment")
    func drain() {
        var machine = open()
        #expect(machine.fired(.drain, silence: .seconds(99)) == [], "there was no half-close")
        _ = machine.localEnded()
        _ = machine.localPeer(is: .halfClosed)
        #expect(machine.fired(.drain, silence: .milliseconds(9_999), idle: .seconds(99)) == [.start(.drain)])
        #expect(machine.fired(.drain, silence: .seconds(10)).contains(.sayGoodbye(.normal)))
    }

    @Test(
        "an end is cut or orderly by its reason",
        arguments: [
            (CloseReason.localClosed, true), (.remoteClosed, true), (.clientLeft, true),
            (.drained(after: .seconds(1)), true),
            (.unused, true), (.noRoom, true), (.evicted, true), (.localReset, false), (.idle(for: .seconds(1)), false),
            (.maxDuration(.seconds(1)), false), (.requested("x"), false), (.shutdown, false), (.restart, false),
            (.failed(Failure(.internal, "x")), false),
        ])
    func orderlyReasons(reason: CloseReason, isOrderly: Bool) {
        #expect(reason.isOrderly == isOrderly)
        var machine = open()
        let actions = machine.close(reason)
        #expect(actions.contains(isOrderly ? .closeLocal : .abortLocal))
        #expect(!actions.contains(isOrderly ? .abortLocal : .closeLocal))
    }

    @Test("an orderly close is the end of a tunnel's time only in its last second, or its last tenth")
    func orderlyCloseLateInLife() {
        let hour = Duration.seconds(3_600)
        func reason(_ left: Duration?, of life: Duration) -> CloseReason { .orderlyClose(left: left, of: life) }
        #expect(reason(.milliseconds(999), of: hour) == .maxDuration(hour))
        #expect(reason(.seconds(1), of: hour) == .remoteClosed)
        #expect(reason(.seconds(359), of: hour) == .remoteClosed)
        #expect(reason(.milliseconds(-50), of: hour) == .maxDuration(hour))
        #expect(reason(.milliseconds(199), of: .seconds(2)) == .maxDuration(.seconds(2)))
        #expect(reason(.milliseconds(200), of: .seconds(2)) == .remoteClosed)
        #expect(reason(nil, of: hour) == .remoteClosed, "its time has not begun")
    }

    // MARK: Liveness

    @Test("silence that is as long as the wait for an answer is no answer")
    func silenceOfTheWholeWait() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(20)))
        #expect(liveness.fired(silence: .seconds(20)) == .dead)
    }

    @Test("bytes after a ping begin the count of silence again")
    func bytesAreForgottenPings() {
        var liveness = Liveness(answersPings: true)
        _ = liveness.fired(silence: .seconds(30))
        #expect(liveness.fired(silence: .seconds(2)) == .wait(.seconds(28)))
        #expect(liveness.fired(silence: .seconds(30)) == .ping(thenWait: .seconds(20)))
    }

    @Test("a busy tunnel is not pinged")
    func busy() {
        var liveness = Liveness(answersPings: true)
        #expect(liveness.fired(silence: .zero) == .wait(.seconds(30)))
        #expect(liveness.fired(silence: .milliseconds(29_999)) == .wait(.milliseconds(1)))
    }

    @Test("an endpoint that was left alone is asked again once it has answered")
    func askedAgain() {
        var liveness = Liveness(answersPings: false)
        for _ in 0..<3 { _ = liveness.probe() }
        #expect(liveness.probe() == .stop)
        liveness.ponged()
        #expect(liveness.answersPings)
        #expect(liveness.probe() == .ping(thenWait: .seconds(10)))
    }
}
