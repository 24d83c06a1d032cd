import Tunnels

/// What the daemon has counted since it began.
struct Tally: Sendable {
    /// Tunnels that ended, by the code of their reason.
    private(set) var ended: [String: Int] = [:]
    /// Tunnels that failed, by the kind of failure.
    private(set) var failures: [String: Int] = [:]
    /// Bytes of the tunnels that ended.
    private(set) var localToRemote: UInt64 = 0
    private(set) var remoteToLocal: UInt64 = 0

    /// How long the parts of dials took that came to an open tunnel.
    private(set) var phases: [String: Histogram] = [:]

    mutating func note(connecting length: Duration, phase: String) { phases[phase, default: Histogram()].add(length) }

    /// Connections that no forward served, by the code of the refusal.
    private(set) var refused: [String: Int] = [:]
    /// Connections whose client went before it could be looked up.
    private(set) var gone = 0

    mutating func note(_ refusal: AccessRefusal) { refused[refusal.code, default: 0] += 1 }

    mutating func noteGone() { gone += 1 }

    mutating func note(_ end: EndedTunnel) {
        ended[end.reason.code.rawValue, default: 0] += 1
        if let kind = end.reason.failure?.kind { failures[kind.rawValue, default: 0] += 1 }
        localToRemote += end.handle.statistics.localToRemote
        remoteToLocal += end.handle.statistics.remoteToLocal
    }
}
