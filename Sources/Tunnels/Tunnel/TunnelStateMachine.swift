// A byte's way, step 3 of 5: what a tunnel decides. Next: EndpointStream (4). The bytes themselves never come here.

import Failures
import Transport

/// One tunnel's life as decisions: an event in, actions out. No sockets, no clock; ``Tunnel`` is its shell.
///
/// Each direction ends by itself (open → draining → closed); the tunnel is closed when both sides are.
struct TunnelStateMachine {
    enum State: Equatable {
        case new
        /// The target is being resolved, or the endpoint's slots are taken.
        case resolving
        case queued
        case dialing(DialPhase)
        /// The endpoint answered 101, which it does before it knows whether the target can be reached: waits for the
        /// target's first bytes.
        case awaitingTarget
        /// Open and unused, until a connection joins it.
        case warm
        case open
        /// An end was decided; bytes are still being delivered, or the close handshake is under way.
        case draining
        case closed
    }

    enum Timer: Hashable, CaseIterable {
        case resolve, queue
        /// A person has to log in first.
        case login
        /// A warm tunnel's life.
        case warmth
        /// The next look at whether the endpoint is alive; ``Liveness`` decides what it means.
        case liveness
        /// The present phase of the dial.
        case phase
        /// The whole dial.
        case dial
        /// The target's first bytes.
        case firstBytes
        case maxDuration, idle
        /// The next warning that the time is over soon.
        case warning
        /// The target's silence after the local half-close.
        case drain
        /// A second look at a local client that seemed to have only stopped sending: the kernel tells of a close a
        /// moment before the socket has lost its owner, and of one that follows a half-close not at all.
        case secondLook
        /// The close handshake with the endpoint.
        case closeHandshake
        /// The target's last bytes, when the local client does not take them.
        case delivery
        /// The local client's answer to our end of file; where the stream was cut, its taking of the last bytes.
        case localLinger

        /// Those that mean nothing once an end is decided.
        static let beforeTheEnd: [Timer] = allCases.filter { ![.closeHandshake, .delivery, .localLinger].contains($0) }
    }

    enum Action: Equatable {
        case resolve
        /// Wait until somebody has logged in.
        case awaitLogin
        case requestSlot
        /// The endpoint refused for want of room: wait for another slot, before those who have not had their turn.
        case queueAgain
        /// The gateway failed, or did not answer: prefer others for a while.
        case blameGateway(Failure)
        case dial
        /// Tell whoever waits for this tunnel that it is open, and give it the local side.
        case announceOpen
        /// The tunnel is warm.
        case announceWarm
        case examineLocalPeer
        /// Tell that the tunnel ends in so long.
        case announceExpiry(Duration)
        case sayGoodbye(Goodbye)
        /// Tell the target that the client sends no more.
        case finishSending
        /// Everything is delivered: send the local client its end of file.
        case finishLocal
        /// The local client is to notice that the stream was cut.
        case abortLocal
        case closeLocal
        case closeRemote
        case withdrawFromQueue
        case releaseSlot
        case start(Timer)
        case cancel(Timer)
        case report(CloseReason)
    }

    private enum Direction { case open, draining, closed }

    private(set) var state = State.new
    /// Why the tunnel ends, from the moment that is decided.
    private(set) var reason: CloseReason?
    /// How long before the end the next warning of it is due.
    private(set) var warning: Duration?

    private let timeouts: TunnelTimeouts
    private let limits: Limits

    private var holdsSlot = false
    private var hasRemote = false
    private var localToRemote = Direction.open
    private var remoteToLocal = Direction.open
    private var localIsClosed = false
    private var canHalfClose = false
    /// Endpoints that were not tried yet.
    private var alternatives = 0
    /// Why a person has to log in before it goes on.
    private(set) var login: Failure?
    var awaitsLogin: Bool { login != nil }
    /// What the endpoint said when it had no room.
    private var refusal: Failure?
    /// For sentences.
    private var endpoint = "the endpoint"

    struct Limits: Equatable {
        var maxDuration: Duration
        var idleTimeout: Duration?
        /// The tunnel is announced only when the target has sent something.
        var waitsForTarget = false
        /// Made ahead of time, for a connection that is not there yet.
        var isWarm = false
        /// For sentences: "i-0abc:22".
        var target: String
    }

    init(timeouts: TunnelTimeouts, limits: Limits) {
        self.timeouts = timeouts
        self.limits = limits
    }

    // MARK: Before the tunnel is open

    mutating func started() -> [Action] {
        state = .resolving
        return [.start(.resolve), .resolve]
    }

    /// - Parameters:
    ///   - endpoint: the nearest one's id.
    ///   - alternatives: how many other endpoints can stand in for it.
    mutating func resolved(to endpoint: String, alternatives: Int = 0) -> [Action] {
        guard state == .resolving else { return [] }
        self.endpoint = endpoint
        self.alternatives = alternatives
        state = .queued
        return [.cancel(.resolve), .start(.queue), .requestSlot]
    }

    /// A slot is ours from here on, whatever happens.
    mutating func slotGranted(firstPhase: DialPhase) -> [Action] {
        guard state == .queued else { return [.releaseSlot] }
        holdsSlot = true
        hasRemote = true
        state = .dialing(firstPhase)
        return [.cancel(.queue), .start(.dial), .start(.phase), .dial]
    }

    /// Nobody can sign until a person has logged in again. No slot is held meanwhile.
    mutating func needsLogin(_ failure: Failure) -> [Action] {
        switch state {
        case .resolving:
            login = failure
            return [.cancel(.resolve), .start(.login), .awaitLogin]
        case .dialing:
            login = failure
            return leaveSlot(for: .resolving) + [.releaseSlot, .start(.login), .awaitLogin]
        default: return []
        }
    }

    /// Somebody has.
    mutating func loggedIn() -> [Action] {
        guard state == .resolving, login != nil else { return [] }
        login = nil
        return [.cancel(.login), .start(.resolve), .resolve]
    }

    /// The endpoint has no room: back into the queue, whose time goes on.
    ///
    /// - Parameter failure: its words, for the case that the time is over before there is room.
    mutating func refusedAsFull(_ failure: Failure) -> [Action] {
        guard case .dialing = state else { return [] }
        refusal = failure
        return leaveSlot(for: .queued) + [.start(.queue), .queueAgain]
    }

    /// The dial is given up, and the slot with it.
    private mutating func leaveSlot(for next: State) -> [Action] {
        state = next
        hasRemote = false
        holdsSlot = false
        return [.cancel(.phase), .cancel(.dial), .closeRemote]
    }

    /// The dial reached its next phase.
    mutating func reached(_ phase: DialPhase) -> [Action] {
        guard case .dialing(let current) = state, current != phase else { return [] }
        state = .dialing(phase)
        return [.cancel(.phase), .start(.phase)]
    }

    /// The stream to the target is open.
    ///
    /// - Parameter canHalfClose: the target can learn that the client sends no more.
    mutating func connected(canHalfClose: Bool = false) -> [Action] {
        guard case .dialing = state else { return [] }
        self.canHalfClose = canHalfClose
        let dialed: [Action] = [.cancel(.phase), .cancel(.dial)]
        if limits.waitsForTarget {
            state = .awaitingTarget
            return dialed + startLife() + [.start(.firstBytes)]
        }
        return dialed + (limits.isWarm ? park() + startLife() : startLife() + open())
    }

    /// The target's first bytes are here.
    mutating func targetSpoke() -> [Action] {
        guard state == .awaitingTarget else { return [] }
        return [.cancel(.firstBytes)] + (limits.isWarm ? park() : open())
    }

    private mutating func park() -> [Action] {
        state = .warm
        return [.start(.warmth), .announceWarm]
    }

    /// A connection takes the warm tunnel.
    mutating func joined() -> [Action] {
        guard state == .warm else { return [] }
        return [.cancel(.warmth)] + open()
    }

    private mutating func open() -> [Action] {
        state = .open
        let idle: [Action] = limits.idleTimeout == nil ? [] : [.start(.idle)]
        return idle + [.start(.liveness), .announceOpen]
    }

    /// How long before a tunnel's end it is announced.
    private static let warnings: [Duration] = [.seconds(300), .seconds(60)]

    private mutating func startLife() -> [Action] {
        warning = Self.warnings.first { $0 < limits.maxDuration }
        return [.start(.maxDuration)] + (warning == nil ? [] : [.start(.warning)])
    }

    private mutating func warn() -> [Action] {
        guard let left = warning, state != .draining, state != .closed else { return [] }
        warning = Self.warnings.first { $0 < left }
        let next: [Action] = warning == nil ? [] : [.start(.warning)]
        return state == .open ? [.announceExpiry(left)] + next : next
    }

    // MARK: The local side

    /// The local client sent its end of file, and every byte before it is on its way.
    mutating func localEnded() -> [Action] {
        guard state == .open, localToRemote == .open else { return [] }
        localToRemote = .draining
        return [.examineLocalPeer]
    }

    enum PeerFinding: Equatable { case gone, halfClosed }

    /// What was found out about the local client after its end of file.
    mutating func localPeer(is finding: PeerFinding) -> [Action] {
        switch state {
        case .resolving, .queued, .dialing, .awaitingTarget, .new, .warm:
            return finding == .gone ? end(.clientLeft, closing: .goingAway) : [.start(.secondLook)]
        case .open:
            // Also later: a client that had only stopped sending may go before the target has finished.
            if finding == .gone { return end(.localClosed, closing: .normal) }
            switch localToRemote {
            case .open: return []
            case .closed: return [.start(.secondLook)]
            case .draining:
                localToRemote = .closed
                // Without a half-close the target does not learn of this one, so its silence has a limit.
                return canHalfClose ? [.finishSending, .start(.secondLook)] : [.start(.drain), .start(.secondLook)]
            }
        case .draining, .closed: return []
        }
    }

    /// The local connection broke: a reset, or a write that failed.
    mutating func localBroke() -> [Action] {
        switch state {
        case .new, .resolving, .queued, .dialing, .awaitingTarget, .warm:
            return end(.clientLeft, closing: .goingAway)
        case .open: return end(.localReset, closing: .goingAway)
        case .draining:
            // Nobody is left to deliver to.
            remoteToLocal = .closed
            return closeLocal(.closeLocal)
        case .closed: return []
        }
    }

    // MARK: The remote side

    /// The endpoint ended the connection in order, or what it sent is over. What it sent before may
    /// still have to be delivered.
    mutating func remoteEnded(_ reason: CloseReason) -> [Action] {
        switch state {
        case .open:
            self.reason = reason
            state = .draining
            localToRemote = .closed
            remoteToLocal = .draining
            return Timer.beforeTheEnd.map(Action.cancel)
                + [.start(.closeHandshake), .start(.delivery)]
        case .draining:
            // The end was ours; this is its answer.
            return []
        case .new, .resolving, .queued, .dialing, .awaitingTarget, .warm:
            return end(reason, closing: nil)
        case .closed: return []
        }
    }

    /// Everything that the remote sent was given to the local client's socket. Only meaningful after `remoteEnded`.
    ///
    /// - Parameter unsent: how many of these bytes are still in the kernel: a reset would drop them.
    mutating func delivered(unsent: Int) -> [Action] {
        guard state == .draining, remoteToLocal == .draining else { return [] }
        remoteToLocal = .closed
        if let reason, reason.isOrderly { return [.finishLocal, .start(.localLinger)] }
        return unsent == 0 ? closeLocal(.abortLocal) : [.start(.localLinger)]
    }

    /// The connection to the endpoint is over: the close handshake ended, or the socket broke.
    mutating func remoteGone() -> [Action] {
        guard hasRemote else { return [] }
        hasRemote = false
        var actions: [Action] = [.cancel(.closeHandshake), .closeRemote]
        if holdsSlot {
            holdsSlot = false
            actions.append(.releaseSlot)
        }
        return actions + finishIfBothSidesAreClosed()
    }

    /// The look-up, the dial or the open stream failed.
    mutating func failed(_ failure: Failure) -> [Action] {
        switch state {
        case .closed: return []
        case .draining: return remoteGone()
        case .open:
            // What came before the failure is still delivered; then the client learns of the cut.
            return remoteEnded(.failed(failure)) + remoteGone()
        case .new, .resolving, .queued, .dialing, .awaitingTarget, .warm:
            return end(.failed(failure), closing: nil)
        }
    }

    /// The dial failed in a way that concerns the gateway: another path may do better.
    mutating func gatewayFailed(_ failure: Failure) -> [Action] {
        guard case .dialing = state else { return failed(failure) }
        guard alternatives > 0 else { return [.blameGateway(failure)] + end(.failed(failure), closing: nil) }
        alternatives -= 1
        return leaveSlot(for: .queued) + [.blameGateway(failure), .releaseSlot, .start(.queue), .requestSlot]
    }

    // MARK: Ends

    /// Someone wants the tunnel closed.
    mutating func close(_ reason: CloseReason) -> [Action] {
        switch state {
        case .draining, .closed: []
        default: end(reason, closing: .normal)
        }
    }

    /// - Parameters:
    ///   - silence: how long the target has sent nothing that we could have delivered; for the drain timer.
    ///   - idle: how long no byte passed; for the idle timer.
    ///   - unsent: bytes that the kernel still holds for the local client; for the last two timers.
    ///   - awaited: what is waited for, where more is known than the state: by resolving, and the name that a connect has no address
    ///     of yet; for their timers.
    mutating func fired(
        _ timer: Timer, silence: Duration = .zero, idle: Duration = .zero, unsent: Int = 0, awaited: AwaitedPart? = nil
    ) -> [Action] {
        switch timer {
        case .login:
            guard state == .resolving, let login else { return [] }
            return failed(login)
        case .warmth: return close(.unused)
        case .liveness: return []
        case .resolve:
            return state == .resolving
                ? failed(.lookUpTookTooLong(limits.target, timeouts.resolve, awaited: awaited)) : []
        case .queue:
            return state == .queued
                ? failed(
                    refusal
                        ?? Failure(
                            .endpointFull, "no slot of \(endpoint) became free for \(limits.target)",
                            why: "waited \(DurationText.format(timeouts.queue))",
                            hint: "see who holds the slots: eicectl status")) : []
        case .phase:
            guard case .dialing(let phase) = state else { return [] }
            if let awaited {
                return gatewayFailed(
                    Failure(
                        .nameNotResolved, "cannot resolve \(awaited.name)",
                        why: "no answer within \(DurationText.format(phase.limit))",
                        hint: "is this machine online?"))
            }
            return gatewayFailed(
                Failure(
                    .deadline, "the \(phase.name) for \(limits.target) timed out",
                    why: "no answer within \(DurationText.format(phase.limit))"))
        case .dial:
            guard case .dialing(let phase) = state else { return [] }
            return gatewayFailed(
                Failure(
                    .deadline, "the dial to \(limits.target) took too long",
                    why: "still in the \(phase.name) after \(DurationText.format(timeouts.dial))"))
        case .firstBytes:
            guard state == .awaitingTarget else { return [] }
            return failed(
                Failure(
                    .deadline, "\(limits.target) sent nothing",
                    why: "no byte came within \(DurationText.format(timeouts.firstBytes)) of the tunnel's opening",
                    hint: "check that the instance's security group lets the endpoint in and that the service runs"))
        case .warning: return warn()
        case .maxDuration: return close(.maxDuration(limits.maxDuration))
        case .idle:
            guard state == .open, let timeout = limits.idleTimeout else { return [] }
            return idle >= timeout ? end(.idle(for: timeout), closing: .normal) : [.start(.idle)]
        case .drain:
            guard state == .open, localToRemote == .closed else { return [] }
            return silence >= timeouts.drain
                ? end(.drained(after: timeouts.drain), closing: .normal) : [.start(.drain)]
        case .closeHandshake: return remoteGone()
        case .secondLook:
            switch state {
            case .resolving, .queued, .dialing, .awaitingTarget: return [.examineLocalPeer]
            case .open: return localToRemote == .closed ? [.examineLocalPeer] : []
            case .new, .warm, .draining, .closed: return []
            }
        case .localLinger:
            guard state == .draining else { return [] }
            // A slow reader still takes what we delivered; `delivery` bounds that.
            return unsent > 0 ? [.start(.localLinger)] : closeLocal(goodbyeToLocal)
        case .delivery:
            guard state == .draining else { return [] }
            remoteToLocal = .closed
            return closeLocal(.abortLocal)
        }
    }

    private var goodbyeToLocal: Action { reason?.isOrderly == true ? .closeLocal : .abortLocal }

    /// Our own end: nothing more is delivered to the local client, and the endpoint is told.
    private mutating func end(_ reason: CloseReason, closing goodbye: Goodbye?) -> [Action] {
        self.reason = reason
        let before = state
        state = .draining
        localToRemote = .closed
        remoteToLocal = .closed
        var actions = Timer.beforeTheEnd.map(Action.cancel)
        if before == .queued { actions.append(.withdrawFromQueue) }
        actions += closeLocal(goodbyeToLocal)
        guard hasRemote else { return actions + finishIfBothSidesAreClosed() }
        let wasUpgraded = [.open, .warm, .awaitingTarget].contains(before)
        guard wasUpgraded, let goodbye else { return actions + remoteGone() }
        return actions + [.start(.closeHandshake), .sayGoodbye(goodbye)]
    }

    private mutating func closeLocal(_ how: Action) -> [Action] {
        guard !localIsClosed else { return [] }
        localIsClosed = true
        return [.cancel(.delivery), .cancel(.localLinger), how] + finishIfBothSidesAreClosed()
    }

    /// The local client answered our end of file with its own, or is gone.
    mutating func localFinished() -> [Action] {
        guard state == .draining else { return [] }
        remoteToLocal = .closed
        return closeLocal(.closeLocal)
    }

    private mutating func finishIfBothSidesAreClosed() -> [Action] {
        guard state != .closed, localIsClosed, !hasRemote, let reason else { return [] }
        state = .closed
        return [.report(reason)]
    }
}
