import Failures
import SocketIO

/// The warm tunnels of one forward: open, with the target's first bytes there where it speaks first, and joined to the next
/// connection. Confined to the control loop.
///
/// Kept only while the forward is in use: each one is a log-in that the target waits for.
final class WarmTunnels {
    private let name: ForwardName
    private var specification: ForwardSpecification
    private let tunnels: TunnelTable
    private var made: [TunnelHandle] = []
    private var lastUse: ContinuousClock.Instant?
    private var isClosed = false

    /// After the forward's last connection.
    private static let keptFor = Duration.seconds(600)

    /// - Parameter name: the forward's, which may change.
    init(of specification: ForwardSpecification, named name: ForwardName, tunnels: TunnelTable) {
        self.specification = specification
        self.name = name
        self.tunnels = tunnels
    }

    /// Joins a connection to a warm tunnel. False when there is none ready.
    ///
    /// - Parameter whenEnded: told of the tunnel's end.
    func join(
        _ local: LocalStream, of caller: Caller, on loop: isolated Loop, whenEnded: @escaping (CloseReason) -> Void
    ) -> Bool {
        while let handle = made.first(where: { $0.snapshot.state == .warm }) {
            made.removeAll { $0 === handle }
            if tunnels.join(local, of: caller, to: handle, on: loop, whenEnded: whenEnded) { return true }
        }
        return false
    }

    /// A connection is through: from now on the forward is in use.
    func keepUp(on loop: isolated Loop) {
        lastUse = .now
        fill(on: loop)
    }

    /// The forward is to be otherwise: tunnels that were made for what it was are not for its next connection.
    func apply(_ fresh: ForwardSpecification, on loop: isolated Loop) {
        let old = specification
        specification = fresh
        let isOther =
            fresh.route != old.route || fresh.maxDuration != old.maxDuration || fresh.idleTimeout != old.idleTimeout
        let surplus = made.suffix(isOther ? made.count : max(0, made.count - fresh.warm))
        made.removeLast(surplus.count)
        for handle in surplus { handle.close(.unused) }
        fill(on: loop)
    }

    private func fill(on loop: isolated Loop) {
        guard !isClosed, tunnels.acceptsNew, let lastUse, lastUse.duration(to: .now) < Self.keptFor else { return }
        made.removeAll { [.draining, .closed].contains($0.snapshot.state) }
        while made.count < specification.warm {
            made.append(
                tunnels.openWarm(specification, named: name, on: loop) { [weak self] reason in
                    // One that failed, or that found no idle slot, is not tried again before the next connection.
                    guard reason == .unused else { return }
                    self?.fill(on: loop)
                })
        }
    }

    func close() {
        isClosed = true
        for handle in made { handle.close(.unused) }
        made = []
    }
}
