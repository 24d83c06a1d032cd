/// How long each part of a dial took: states in, lengths out. Pure.
public struct DialTimings: Sendable {
    /// By part, in order: `resolve`, `queue`, the dial's phases, `firstBytes`.
    public private(set) var parts: [(name: String, length: Duration)] = []
    private var current: (name: String, since: ContinuousClock.Instant)?

    init() {}

    /// The tunnel is in this state from now on.
    mutating func enter(_ state: TunnelStateMachine.State, at now: ContinuousClock.Instant) {
        let name = Self.name(of: state)
        guard current?.name != name else { return }
        if let current { parts.append((current.name, current.since.duration(to: now))) }
        current = name.map { ($0, now) }
    }

    private static func name(of state: TunnelStateMachine.State) -> String? {
        switch state {
        case .resolving: "resolve"
        case .queued: "queue"
        case .dialing(let phase): phase.id
        case .awaitingTarget: "firstBytes"
        case .new, .warm, .open, .draining, .closed: nil
        }
    }
}
