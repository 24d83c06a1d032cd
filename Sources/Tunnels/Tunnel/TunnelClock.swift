import Failures
import SocketIO
import Transport

/// A tunnel's timers, and the instants that they count from. Confined to the tunnel's loop.
///
/// The pump and the dial set the instants. The timers are internal because tests move time.
struct TunnelClock {
    typealias Timer = TunnelStateMachine.Timer

    var timers: [Timer: (deadline: Deadline, at: ContinuousClock.Instant)] = [:]
    /// When the last byte passed.
    var lastActivity = ContinuousClock.now
    /// When the target's silence began: bytes that wait for the client are no silence.
    var silentSince = ContinuousClock.now
    /// When the request for the tunnel could be sent.
    var requested = ContinuousClock.now
    var liveness = Liveness(answersPings: false)
    /// The deadline for all waits for a slot together.
    private(set) var queueEnd: ContinuousClock.Instant?
    private var looks = 0

    /// Counts idleness and silence from now on.
    mutating func restart() {
        lastActivity = .now
        silentSince = .now
    }

    /// The target's bytes were delivered.
    mutating func delivered(at now: ContinuousClock.Instant) {
        lastActivity = now
        silentSince = now
    }

    mutating func cancel(_ timer: Timer, on loop: isolated Loop) {
        if let entry = timers.removeValue(forKey: timer) { loop.cancel(entry.deadline) }
    }

    mutating func cancelAll(on loop: isolated Loop) {
        for entry in timers.values { loop.cancel(entry.deadline) }
        timers = [:]
    }

    fileprivate mutating func schedule(
        _ timer: Timer, at instant: ContinuousClock.Instant, on loop: isolated Loop, fire: @escaping () -> Void
    ) {
        cancel(timer, on: loop)
        // The checks of thousands of idle tunnels share their wake-ups.
        let tolerance: Duration = timer == .liveness ? Liveness.tolerance : .zero
        timers[timer] = (loop.schedule(at: instant, tolerance: tolerance, fire), instant)
    }

    /// Cancels the deadlines of a loop that the tunnel leaves, and keeps their instants for
    /// ``Tunnel/resumeTimers(on:)``.
    func suspend(on loop: isolated Loop) { for entry in timers.values { loop.cancel(entry.deadline) } }

    fileprivate mutating func endOfQueue(after timeout: Duration) -> ContinuousClock.Instant {
        let end = queueEnd ?? .now + timeout
        queueEnd = end
        return end
    }

    /// A moment after a client's end of file, then each second.
    fileprivate mutating func untilNextLook() -> Duration {
        looks += 1
        return looks == 1 ? .milliseconds(10) : .seconds(1)
    }
}

// MARK: Timers

extension Tunnel {
    func start(_ timer: TunnelStateMachine.Timer, on loop: isolated Loop) {
        // The service counts a tunnel's life from the request. So does the tunnel, to end first and with the reason.
        let from = timer == .maxDuration ? clock.requested : .now
        schedule(timer, at: from + length(of: timer), on: loop)
    }

    private func schedule(
        _ timer: TunnelStateMachine.Timer, at instant: ContinuousClock.Instant, on loop: isolated Loop
    ) {
        clock.schedule(timer, at: instant, on: loop) { [weak self] in self?.fired(timer, on: loop) }
    }

    /// Schedules on a new loop what `TunnelClock.suspend` kept. A deadline's number means another tunnel's timer here.
    func resumeTimers(on loop: isolated Loop) {
        let running = clock.timers
        clock.timers = [:]
        for (timer, entry) in running { schedule(timer, at: entry.at, on: loop) }
    }

    func fired(_ timer: TunnelStateMachine.Timer, on loop: isolated Loop) {
        clock.timers[timer] = nil
        guard timer != .liveness else {
            lookForLife(clock.liveness.fired(silence: silenceOfEndpoint), on: loop)
            return
        }
        if timer == .phase, dialContinues(on: loop) { return }
        let now = ContinuousClock.now
        // The target is not silent while its bytes wait for the client.
        if let remote, !remote.payload.isEmpty { clock.silentSince = now }
        run(
            machine.fired(
                timer, silence: clock.silentSince.duration(to: now), idle: clock.lastActivity.duration(to: now),
                unsent: local.socket?.unsentBytes ?? 0, awaited: awaited(by: timer)),
            on: loop)
    }

    private func awaited(by timer: TunnelStateMachine.Timer) -> AwaitedPart? {
        switch timer {
        case .resolve: services.transport(for: handle.request.route).awaited(by: handle.request.route)
        case .phase: awaitedByDial
        default: nil
        }
    }

    private func length(of timer: TunnelStateMachine.Timer) -> Duration {
        let timeouts = services.timeouts
        switch timer {
        case .resolve: return timeouts.resolve
        case .login: return timeouts.login
        case .queue: return max(.zero, ContinuousClock.now.duration(to: clock.endOfQueue(after: timeouts.queue)))
        case .warmth: return services.warmTimeToLive
        case .liveness: return Liveness.pingAfter
        case .phase:
            guard case .dialing(let phase) = machine.state else { return timeouts.dial }
            return phase.limit
        case .dial: return timeouts.dial
        case .firstBytes: return timeouts.firstBytes
        case .maxDuration: return handle.request.maxDuration
        case .warning:
            guard let end = clock.timers[.maxDuration]?.at, let warning = machine.warning else { return .zero }
            return max(ContinuousClock.now.duration(to: end) - warning, .zero)
        case .idle:
            guard let timeout = handle.request.idleTimeout else { return .zero }
            return max(timeout - clock.lastActivity.duration(to: .now), .zero)
        case .drain: return max(timeouts.drain - clock.silentSince.duration(to: .now), .zero)
        case .secondLook: return clock.untilNextLook()
        case .closeHandshake: return timeouts.close
        case .delivery: return timeouts.delivery
        case .localLinger: return machine.reason?.isOrderly == true ? timeouts.close : .milliseconds(100)
        }
    }
}

// MARK: Liveness

extension Tunnel {
    private var silenceOfEndpoint: Duration { (remote?.lastHeard ?? .now).duration(to: .now) }

    private func lookForLife(_ step: Liveness.Step, on loop: isolated Loop) {
        guard machine.state == .open else { return }
        switch step {
        case .wait(let length): schedule(.liveness, at: .now + length, on: loop)
        case .ping(let length):
            remote?.probe(on: loop)
            schedule(.liveness, at: .now + length, on: loop)
        case .dead:
            let failure = Failure(
                .connectionLost, "\(gatewayName) is silent",
                why: "no byte and no answer to a ping for \(silenceOfEndpoint.components.seconds) s")
            connectionFailed(failure, on: loop)
        case .stop: break
        }
    }

    func streamAnswered(on loop: isolated Loop) {
        clock.liveness.ponged()
        handle.update { $0.answersPings = true }
    }

    /// Asks the endpoint at once whether it is alive: the machine slept, or its routes changed.
    func probe(on loop: isolated Loop) {
        guard machine.state == .open else { return }
        lookForLife(clock.liveness.probe(), on: loop)
    }
}
