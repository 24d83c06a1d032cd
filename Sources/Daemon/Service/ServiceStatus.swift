import ServiceManager
import SocketIO
import Tunnels

/// The one line that `systemctl status` shows, brought up to date a second after something changed. Confined to the control
/// loop.
final class ServiceStatus {
    /// What the line tells.
    struct Figures: Equatable {
        var forwards = 0
        var notListening = 0
        var tunnels = 0
        var slots = 0
        var cap = 0
        /// Why connections wait, or what goes on.
        var note: String?

        var line: String {
            var parts = [Self.count(forwards, "forward") + (notListening > 0 ? " (\(notListening) not listening)" : "")]
            parts.append(Self.count(tunnels, "tunnel"))
            // Endpoints are known once they were used.
            if cap > 0 { parts.append("\(slots) of \(cap) slots") }
            if let note { parts.append(note) }
            return parts.joined(separator: ", ")
        }

        private static func count(_ number: Int, _ thing: String) -> String {
            "\(number) \(thing)\(number == 1 ? "" : "s")"
        }
    }

    private static let pause = Duration.seconds(1)

    private let notifier: Notifier
    private let forwards: ForwardTable
    private let tunnels: TunnelTable
    private let pools: GatewayPools
    private var next: Deadline?
    private var told: Figures?
    var note: String?

    init(notifier: Notifier, forwards: ForwardTable, tunnels: TunnelTable, pools: GatewayPools) {
        self.notifier = notifier
        self.forwards = forwards
        self.tunnels = tunnels
        self.pools = pools
    }

    var line: String { figures.line }

    private var figures: Figures {
        let all = forwards.all
        return Figures(
            forwards: all.count, notListening: all.count { $0.listenFailure != nil }, tunnels: tunnels.all.count,
            slots: pools.all.reduce(0) { $0 + $1.inUse + $1.taken }, cap: pools.all.reduce(0) { $0 + $1.cap },
            note: note)
    }

    /// Something changed that the line may tell of.
    func changed(on loop: isolated Loop) {
        guard notifier.hasListener, next == nil else { return }
        next = loop.schedule(after: Self.pause) { [weak self] in
            guard let self else { return }
            next = nil
            let figures = figures
            guard figures != told else { return }
            told = figures
            notifier.status(figures.line)
        }
    }
}
