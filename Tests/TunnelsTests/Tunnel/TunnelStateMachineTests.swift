import Failures
import TestSupport
import Testing
import Transport

@testable import Tunnels

/// Transcripts: what happens, and what the tunnel does about it.
@Suite struct TunnelStateMachineTests {
    private typealias Action = TunnelStateMachine.Action

    private func machine(waitsForTarget: Bool = false, idle: Duration? = nil) -> TunnelStateMachine {
        TunnelStateMachine(
            timeouts: TunnelTimeouts(),
            limits: .init(
                maxDuration: .seconds(3_600), idleTimeout: idle, waitsForTarget: waitsForTarget, target: "i-0:22"))
    }

    private func queued() -> TunnelStateMachine {
        var machine = machine()
        _ = machine.started()
        _ = machine.resolved(to: "eice-0")
        return machine
    }

    private func dialing(waitsForTarget: Bool = false, idle: Duration? = nil) -> TunnelStateMachine {
        var machine = machine(waitsForTarget: waitsForTarget, idle: idle)
        _ = machine.started()
        _ = machine.resolved(to: "eice-0")
        _ = machine.slotGranted(firstPhase: .connect)
        return machine
    }

    private func open() -> TunnelStateMachine {
        var machine = dialing()
        _ = machine.connected()
        return machine
    }

    private let cut = Failure(.connectionLost, "eice-0 is gone")

    private func reports(_ actions: [Action]) -> [CloseReason] {
        actions.compactMap { if case .report(let reason) = $0 { reason } else { nil } }
    }

    /// What is left without the timers.
    private func deeds(_ actions: [Action]) -> [Action] {
        actions.filter {
            switch $0 {
            case .start, .cancel: false
            default: true
            }
        }
    }

    // MARK: To an open tunnel

    @Test func aDialGoesThroughItsPhases() {
        var machine = machine()
        #expect(machine.started() == [.start(.resolve), .resolve])
        #expect(machine.resolved(to: "eice-0") == [.cancel(.resolve), .start(.queue), .requestSlot])
        #expect(machine.slotGranted(firstPhase: .connect) == [.cancel(.queue), .start(.dial), .start(.phase), .dial])
        #expect(machine.reached(.tls) == [.cancel(.phase), .start(.phase)])
        #expect(machine.reached(.upgrade) == [.cancel(.phase), .start(.phase)])
        #expect(
            machine.connected() == [
                .cancel(.phase), .cancel(.dial), .start(.maxDuration), .start(.warning), .start(.liveness),
                .announceOpen,
            ])
        #expect(machine.state == .open)
    }

    @Test func aTunnelThatWaitsForTheTargetIsOpenWithItsFirstBytes() {
        var machine = dialing(waitsForTarget: true, idle: .seconds(1))
        #expect(
            machine.connected() == [
                .cancel(.phase), .cancel(.dial), .start(.maxDuration), .start(.warning), .start(.firstBytes),
            ])
        #expect(machine.state == .awaitingTarget)
        #expect(
            machine.targetSpoke() == [.cancel(.firstBytes), .start(.idle), .start(.liveness), .announceOpen])
    }

    @Test func eachTimeoutBeforeTheOpeningNamesItsPart() {
        var resolving = machine()
        _ = resolving.started()
        #expect(reports(resolving.fired(.resolve)).first?.failure?.kind == .deadline)
        var waiting = queued()
        let full = reports(waiting.fired(.queue)).first?.failure
        #expect(full?.kind == .endpointFull)
        #expect(full?.what == "no slot of eice-0 became free for i-0:22")
        for (phase, limit) in [(DialPhase.connect, "10s"), (.tls, "8s"), (.upgrade, "11s")] {
            var dialing = dialing()
            _ = dialing.reached(phase)
            let failure = reports(dialing.fired(.phase)).first?.failure
            #expect(failure?.sentence == "the \(phase.name) for i-0:22 timed out: no answer within \(limit)")
        }
        var nameless = dialing()
        let unresolved = reports(nameless.fired(.phase, awaited: AwaitedPart(name: "host of eice-0", isHelper: false)))
            .first?.failure
        #expect(unresolved?.sentence == "cannot resolve host of eice-0: no answer within 10s")
        #expect(unresolved?.kind == .nameNotResolved)
        var silent = dialing(waitsForTarget: true)
        _ = silent.connected()
        #expect(
            reports(silent.fired(.firstBytes)).first?.failure?.sentence
                == "i-0:22 sent nothing: no byte came within 20s of the tunnel's opening")
        var slow = dialing()
        #expect(reports(slow.fired(.dial)).first?.failure?.why == "still in the TCP connect after 30s")
    }

    @Test func timersOfAnEarlierStateDoNothing() {
        var machine = open()
        for timer in [TunnelStateMachine.Timer.resolve, .queue, .phase, .dial, .firstBytes, .drain, .idle, .secondLook]
        {
            #expect(machine.fired(timer, silence: .seconds(99), idle: .seconds(99)) == [])
        }
        for timer in [TunnelStateMachine.Timer.delivery, .localLinger] { #expect(machine.fired(timer) == []) }
        #expect(machine.state == .open)
    }

    // MARK: Slots

    @Test func aFailedDialGivesItsSlotBackAndResetsTheClient() {
        var machine = dialing()
        let actions = machine.gatewayFailed(cut)
        #expect(
            deeds(actions) == [.blameGateway(cut), .abortLocal, .closeRemote, .releaseSlot, .report(.failed(cut))])
        #expect(machine.state == .closed)
    }

    @Test func aFailedEndpointIsLeftForTheNextOne() {
        var machine = machine()
        _ = machine.started()
        _ = machine.resolved(to: "eice-0", alternatives: 1)
        _ = machine.slotGranted(firstPhase: .connect)
        #expect(deeds(machine.gatewayFailed(cut)) == [.closeRemote, .blameGateway(cut), .releaseSlot, .requestSlot])
        #expect(machine.state == .queued)
        _ = machine.slotGranted(firstPhase: .connect)
        #expect(reports(machine.gatewayFailed(cut)) == [.failed(cut)])
    }

    @Test func aRefusalThatIsAboutTheTargetIsNotTriedElsewhere() {
        var machine = machine()
        _ = machine.started()
        _ = machine.resolved(to: "eice-0", alternatives: 1)
        _ = machine.slotGranted(firstPhase: .connect)
        let denied = Failure(.accessDenied, "no")
        #expect(reports(machine.failed(denied)) == [.failed(denied)])
    }

    @Test func whoIsRefusedForWantOfRoomWaitsAgain() {
        let full = Failure(.endpointFull, "no room")
        var machine = dialing()
        _ = machine.reached(.upgrade)
        #expect(
            machine.refusedAsFull(full) == [
                .cancel(.phase), .cancel(.dial), .closeRemote, .start(.queue), .queueAgain,
            ])
        #expect(machine.state == .queued)
        // In the endpoint's own words.
        #expect(reports(machine.fired(.queue)) == [.failed(full)])
    }

    @Test func whileAPersonLogsInNoSlotIsHeld() {
        let login = Failure(.needsLogin, "log in")
        var machine = dialing()
        #expect(deeds(machine.needsLogin(login)) == [.closeRemote, .releaseSlot, .awaitLogin])
        #expect(deeds(machine.loggedIn()) == [.resolve])
        #expect(deeds(machine.needsLogin(login)) == [.awaitLogin])
        #expect(reports(machine.fired(.login)) == [.failed(login)])
    }

    // MARK: Warm tunnels

    private func warm() -> TunnelStateMachine {
        var machine = TunnelStateMachine(
            timeouts: TunnelTimeouts(),
            limits: .init(maxDuration: .seconds(3_600), waitsForTarget: true, isWarm: true, target: "i-0:22"))
        _ = machine.started()
        _ = machine.resolved(to: "eice-0")
        _ = machine.slotGranted(firstPhase: .connect)
        _ = machine.connected()
        return machine
    }

    @Test func aWarmTunnelWaitsForItsConnectionAndIsOpenWithIt() {
        var machine = warm()
        #expect(machine.targetSpoke() == [.cancel(.firstBytes), .start(.warmth), .announceWarm])
        #expect(machine.joined() == [.cancel(.warmth), .start(.liveness), .announceOpen])
        #expect(machine.state == .open)
    }

    @Test func aWarmTunnelEndsWithItsTime() {
        var machine = warm()
        _ = machine.targetSpoke()
        #expect(deeds(machine.fired(.warmth)) == [.closeLocal, .sayGoodbye(.normal)])
        #expect(machine.joined() == [])
        #expect(reports(machine.remoteGone()) == [.unused])
    }

    @Test func aWarmTunnelWhoseTargetGoesIsOver() {
        var machine = warm()
        _ = machine.targetSpoke()
        #expect(reports(machine.remoteEnded(.remoteClosed)) == [.remoteClosed])
    }

    @Test func whoLeavesTheQueueIsWithdrawnAndHoldsNoSlot() {
        var machine = queued()
        #expect(
            deeds(machine.localPeer(is: .gone)) == [.withdrawFromQueue, .closeLocal, .report(.clientLeft)])
    }

    @Test func aSlotThatComesTooLateGoesBackAtOnce() {
        var machine = queued()
        _ = machine.localBroke()
        #expect(machine.slotGranted(firstPhase: .connect) == [.releaseSlot])
    }

    @Test func aSlotIsReleasedOnceHoweverTheTunnelEnds() {
        // Every order of the events that can end it, each also twice.
        typealias Event = (inout TunnelStateMachine) -> [Action]
        let cut = cut
        let events: [Event] = [
            { $0.localEnded() }, { $0.localPeer(is: .gone) }, { $0.localPeer(is: .halfClosed) }, { $0.localBroke() },
            { $0.remoteEnded(.remoteClosed) }, { $0.remoteGone() }, { $0.failed(cut) }, { $0.gatewayFailed(cut) },
            { $0.delivered(unsent: 0) },
            { $0.delivered(unsent: 9) }, { $0.localFinished() }, { $0.close(.shutdown) }, { $0.fired(.maxDuration) },
            { $0.fired(.closeHandshake) }, { $0.fired(.delivery) }, { $0.fired(.localLinger) },
            { $0.fired(.drain, silence: .seconds(99)) }, { $0.fired(.secondLook) }, { $0.fired(.phase) },
            { $0.fired(.firstBytes) },
            { $0.connected() }, { $0.targetSpoke() }, { $0.slotGranted(firstPhase: .connect) },
        ]
        let beginnings: [TunnelStateMachine] = [
            dialing(), dialing(waitsForTarget: true), open(), queued(),
        ]
        var random = SeededGenerator(seed: 42)
        for _ in 0..<20_000 {
            var machine = beginnings.randomElement(using: &random) ?? queued()
            var held = machine.state == .queued ? 0 : 1
            var (localEnds, remoteEnds, reported, isOpen) = (0, 0, 0, machine.state == .open)
            var all: [Action] = []
            func take(_ actions: [Action]) {
                for action in actions {
                    #expect(reported == 0 || action == .releaseSlot, "an action after the report: \(action)")
                    switch action {
                    case .releaseSlot: held -= 1
                    case .dial: held += 1
                    case .abortLocal, .closeLocal: localEnds += 1
                    case .closeRemote: remoteEnds += 1
                    case .announceOpen:
                        #expect(!isOpen)
                        isOpen = true
                    case .report: reported += 1
                    default: break
                    }
                }
                all += actions
            }
            for _ in 0..<12 {
                let event = events.randomElement(using: &random) ?? { _ in [] }
                let before = machine.state
                let actions = event(&machine)
                // A slot that is granted is held from that moment, also where it goes straight back.
                if actions == [.releaseSlot] { held += 1 }
                take(actions)
                #expect(machine.state != .closed || held == 0, "\(before)")
            }
            // Its timers end what nobody else does.
            take(machine.close(.shutdown))
            for timer in TunnelStateMachine.Timer.allCases { take(machine.fired(timer, silence: .seconds(99))) }
            #expect(machine.state == .closed)
            #expect(held == 0 && reported == 1 && localEnds == 1 && remoteEnds <= 1, "\(all)")
            // Timers that still run belong to no state any more, and the shell cancels them.
            for timer in TunnelStateMachine.Timer.allCases { #expect(machine.fired(timer) == []) }
        }
    }

    // MARK: Local ends

    @Test func aClientThatClosedEndsTheTunnel() {
        var machine = open()
        #expect(machine.localEnded() == [.examineLocalPeer])
        #expect(deeds(machine.localPeer(is: .gone)) == [.closeLocal, .sayGoodbye(.normal)])
        #expect(machine.state == .draining)
        #expect(deeds(machine.remoteGone()) == [.closeRemote, .releaseSlot, .report(.localClosed)])
    }

    @Test func aHalfCloseWaitsForTheTargetAndLooksAgain() {
        var machine = open()
        _ = machine.localEnded()
        #expect(machine.localPeer(is: .halfClosed) == [.start(.drain), .start(.secondLook)])
        #expect(machine.state == .open)
        #expect(machine.localEnded() == [])
        #expect(machine.fired(.secondLook) == [.examineLocalPeer])
        #expect(machine.localPeer(is: .halfClosed) == [.start(.secondLook)])
        #expect(machine.fired(.drain, silence: .seconds(9)) == [.start(.drain)])
        #expect(
            deeds(machine.fired(.drain, silence: .seconds(10))) == [.closeLocal, .sayGoodbye(.normal)])
        #expect(machine.reason == .drained(after: .seconds(10)))
    }

    @Test func aSecondLookFindsWhoLeftAfterAll() {
        var machine = open()
        _ = machine.localEnded()
        _ = machine.localPeer(is: .halfClosed)
        #expect(deeds(machine.localPeer(is: .gone)) == [.closeLocal, .sayGoodbye(.normal)])
        #expect(machine.reason == .localClosed)
    }

    @Test func aHalfClosedClientBeforeTheOpeningIsLookedAtAgain() {
        var machine = queued()
        #expect(machine.localPeer(is: .halfClosed) == [.start(.secondLook)])
        #expect(machine.fired(.secondLook) == [.examineLocalPeer])
        #expect(machine.state == .queued)
    }

    @Test func aLocalResetAbortsWithGoingAway() {
        var machine = open()
        #expect(deeds(machine.localBroke()) == [.abortLocal, .sayGoodbye(.goingAway)])
        #expect(machine.reason == .localReset)
    }

    @Test func aClientThatLeavesWhileTheTargetIsAwaitedTellsTheEndpoint() {
        var machine = dialing(waitsForTarget: true)
        _ = machine.connected()
        #expect(deeds(machine.localPeer(is: .gone)) == [.closeLocal, .sayGoodbye(.goingAway)])
    }

    // MARK: Remote ends

    @Test func whatTheTargetSentIsDeliveredBeforeTheEndOfFile() {
        var machine = open()
        #expect(
            machine.remoteEnded(.remoteClosed)
                == TunnelStateMachine.Timer.beforeTheEnd.map(Action.cancel)
                + [.start(.closeHandshake), .start(.delivery)])
        // The slot is free while the client still reads.
        #expect(machine.remoteGone() == [.cancel(.closeHandshake), .closeRemote, .releaseSlot])
        #expect(machine.delivered(unsent: 99) == [.finishLocal, .start(.localLinger)])
        #expect(deeds(machine.localFinished()) == [.closeLocal, .report(.remoteClosed)])
    }

    @Test func theClientIsNotCutOffWhileItTakesTheRest() {
        var machine = open()
        _ = machine.remoteEnded(.remoteClosed)
        _ = machine.remoteGone()
        _ = machine.delivered(unsent: 99)
        #expect(machine.fired(.localLinger, unsent: 50) == [.start(.localLinger)])
        #expect(deeds(machine.fired(.localLinger, unsent: 0)) == [.closeLocal, .report(.remoteClosed)])
    }

    @Test func aClientThatTakesNothingIsCutOffInTheEnd() {
        var machine = open()
        _ = machine.remoteEnded(.remoteClosed)
        _ = machine.remoteGone()
        #expect(deeds(machine.fired(.delivery)) == [.abortLocal, .report(.remoteClosed)])
    }

    @Test func aCutStreamEndsInAResetOnceItsLastBytesAreTaken() {
        var machine = open()
        _ = machine.failed(cut)
        #expect(machine.delivered(unsent: 99) == [.start(.localLinger)])
        #expect(machine.fired(.localLinger, unsent: 1) == [.start(.localLinger)])
        #expect(deeds(machine.fired(.localLinger)) == [.abortLocal, .report(.failed(cut))])
        var quick = open()
        _ = quick.failed(cut)
        #expect(deeds(quick.delivered(unsent: 0)) == [.abortLocal, .report(.failed(cut))])
    }

    @Test func theFirstReasonStays() {
        var machine = open()
        _ = machine.remoteEnded(.remoteClosed)
        _ = machine.failed(cut)
        _ = machine.close(.shutdown)
        _ = machine.localBroke()
        #expect(machine.reason == .remoteClosed)
        #expect(machine.state == .closed)
    }

    @Test func aTargetThatClosesBeforeItSpokeFailsTheWait() {
        var machine = dialing(waitsForTarget: true)
        _ = machine.connected()
        #expect(
            deeds(machine.remoteEnded(.remoteClosed)) == [
                .closeLocal, .closeRemote, .releaseSlot, .report(.remoteClosed),
            ])
    }

    // MARK: Our own ends

    @Test func anUnansweredCloseEndsWithItsTimeout() {
        var machine = open()
        let actions = machine.close(.shutdown)
        #expect(deeds(actions) == [.abortLocal, .sayGoodbye(.normal)])
        #expect(actions.contains(.start(.closeHandshake)))
        #expect(deeds(machine.fired(.closeHandshake)) == [.closeRemote, .releaseSlot, .report(.shutdown)])
    }

    @Test func anIdleTunnelEndsAndAnActiveOneGoesOn() {
        var machine = dialing(idle: .seconds(60))
        #expect(machine.connected().contains(.start(.idle)))
        #expect(machine.fired(.idle, idle: .seconds(59)) == [.start(.idle)])
        #expect(
            deeds(machine.fired(.idle, idle: .seconds(60))) == [.abortLocal, .sayGoodbye(.normal)])
        #expect(machine.reason == .idle(for: .seconds(60)))
    }

    @Test func theMaximumDurationCutsTheTunnel() {
        var machine = open()
        #expect(deeds(machine.fired(.maxDuration)) == [.abortLocal, .sayGoodbye(.normal)])
        #expect(machine.reason == .maxDuration(.seconds(3_600)))
    }

    @Test func aTunnelThatIsEndingIsNotEndedAgain() {
        var machine = open()
        _ = machine.close(.shutdown)
        #expect(machine.close(.requested("again")) == [])
        #expect(machine.fired(.maxDuration) == [])
        #expect(machine.remoteEnded(.remoteClosed) == [])
    }
}
