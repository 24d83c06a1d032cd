import Testing

@testable import Tunnels

/// What is told of a tunnel before its time is over, and how long its dial took.
@Suite struct ExpiryTests {
    func upgraded(_ maxDuration: Duration, waitsForTarget: Bool = false) -> TunnelStateMachine {
        var machine = TunnelStateMachine(
            timeouts: TunnelTimeouts(),
            limits: .init(maxDuration: maxDuration, waitsForTarget: waitsForTarget, target: "i-0:22"))
        _ = machine.started()
        _ = machine.resolved(to: "eice-0")
        _ = machine.slotGranted(firstPhase: .connect)
        _ = machine.connected()
        return machine
    }

    @Test func theEndIsAnnouncedFiveMinutesAndOneMinuteAhead() {
        var machine = upgraded(.seconds(3_600))
        #expect(machine.warning == .seconds(300))
        #expect(machine.fired(.warning) == [.announceExpiry(.seconds(300)), .start(.warning)])
        #expect(machine.warning == .seconds(60))
        #expect(machine.fired(.warning) == [.announceExpiry(.seconds(60))])
        #expect(machine.fired(.warning) == [])
    }

    @Test(arguments: [(301, 300), (300, 60), (61, 60)]) func aShortLifeHasTheWarningsThatFit(
        _ seconds: Int, _ first: Int
    ) {
        #expect(upgraded(.seconds(seconds)).warning == .seconds(first))
    }

    @Test func aLifeOfAMinuteHasNoWarning() {
        var machine = upgraded(.seconds(60))
        #expect(machine.warning == nil)
        #expect(machine.fired(.warning) == [])
    }

    @Test func nobodyIsWarnedOfATunnelThatIsNotOpen() {
        var machine = upgraded(.seconds(3_600), waitsForTarget: true)
        #expect(machine.fired(.warning) == [.start(.warning)])
        var closing = upgraded(.seconds(3_600))
        #expect(closing.close(.shutdown).contains(.cancel(.warning)))
        #expect(closing.fired(.warning) == [])
    }

    @Test func eachPartOfADialIsMeasuredOnce() {
        var timings = DialTimings()
        let start = ContinuousClock.now
        let states: [(TunnelStateMachine.State, Int)] = [
            (.new, 0), (.resolving, 0), (.resolving, 3), (.queued, 5), (.dialing(.connect), 5), (.dialing(.tls), 15),
            (.dialing(.upgrade), 40), (.open, 50), (.open, 99), (.draining, 200),
        ]
        for (state, at) in states { timings.enter(state, at: start + .milliseconds(at)) }
        #expect(timings.parts.map(\.name) == ["resolve", "queue", "connect", "tls", "upgrade"])
        #expect(timings.parts.map(\.length) == [5, 0, 10, 25, 10].map { .milliseconds($0) })
    }
}
