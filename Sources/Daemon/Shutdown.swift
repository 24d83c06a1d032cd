import Failures
import Logging
import ServiceManager
import SocketIO
import Tunnels

/// Why a daemon serves no longer.
enum Ending: Hashable {
    /// Nobody listens any more. Tunnels have so long.
    case stop(drain: Duration)
    /// The service manager keeps the listeners for the next process. Tunnels have so long.
    case restart(drain: Duration)
    /// Another process has taken over. Tunnels have all their time.
    case handedOver

    /// No tunnel lasts longer than an hour, and a dial may just have begun.
    private static let longestTunnel = Duration.seconds(ServiceLimits.tunnelSeconds.upperBound + 60)

    var drain: Duration {
        switch self {
        case .stop(let drain), .restart(let drain): drain
        case .handedOver: Self.longestTunnel
        }
    }

    /// What becomes of a tunnel that does not end by itself.
    var reason: CloseReason {
        switch self {
        case .stop, .handedOver: .shutdown
        case .restart: .restart
        }
    }

    /// For the log and for `systemctl status`.
    var word: String {
        switch self {
        case .stop: "stopping"
        case .restart: "restarting"
        case .handedOver: "handed over"
        }
    }
}

/// stop → drain → exit: nothing new is accepted when this begins; tunnels get their time to end by themselves, then they
/// are closed. Confined to the control loop.
final class Shutdown {
    /// How often the service manager is asked for more time, and for how much: a drain that hangs is not waited for for long.
    private static let extensionPause = Duration.seconds(10)
    private static let extensionLength = Duration.seconds(30)

    private(set) var ending: Ending
    private let predecessors: Predecessors
    private let tunnels: TunnelTable
    private let notifier: Notifier
    private let logger: Logger
    private let completion: () -> Void
    private var tunnelsAreGone = false
    private var predecessorsAreGone = true
    /// What an earlier process may take beyond its drain, to close its tunnels.
    private static let predecessorsPatience = Duration.seconds(5)

    init(
        _ ending: Ending, tunnels: TunnelTable, predecessors: Predecessors, notifier: Notifier, logger: Logger,
        on loop: isolated Loop,
        completion: @escaping () -> Void
    ) {
        self.ending = ending
        self.tunnels = tunnels
        self.predecessors = predecessors
        self.notifier = notifier
        self.logger = logger
        self.completion = completion
        tell()
        extendTimeout(on: loop)
        begin(on: loop)
        // Not from within the request that asked: its reply leaves first.
        _ = loop.schedule(after: .zero) { [weak self] in self?.waitForTheLast() }
    }

    /// A second request or signal: at once, unless this process only drains for its successor. Then the new ending counts.
    func repeated(_ ending: Ending, on loop: isolated Loop) {
        if case .handedOver = self.ending { change(to: ending, on: loop) } else { hurry() }
    }

    /// The end is to come sooner: the service stops while this process still drains for its successor.
    func change(to ending: Ending, on loop: isolated Loop) {
        self.ending = ending
        tell()
        begin(on: loop)
    }

    private func tell() {
        let time = DurationText.format(ending.drain)
        let rest =
            switch tunnels.all.count {
            case 0: "no tunnel is open"
            case 1: "the one open tunnel has \(time) to end"
            case let count: "\(count) open tunnels have \(time) to end"
            }
        let status = "\(ending.word): \(rest)"
        logger.notice("\(status)", metadata: ["event": "stopping"])
        notifier.stopping(status: status)
    }

    private func extendTimeout(on loop: isolated Loop) {
        notifier.extendTimeout(by: Self.extensionLength)
        _ = loop.schedule(after: Self.extensionPause) { [weak self] in self?.extendTimeout(on: loop) }
    }

    private func begin(on loop: isolated Loop) {
        let ending = ending
        _ = loop.schedule(after: ending.drain) { [weak self] in self?.closeAll(ending) }
        guard case .stop = ending, !predecessors.counts.isEmpty else { return }
        // A service that is stopped has no process left. They drain side by side with this one.
        predecessorsAreGone = false
        predecessors.stop { [weak self] in self?.predecessorsEnded() }
        _ = loop.schedule(after: ending.drain + Self.predecessorsPatience) { [weak self] in
            guard let self, !predecessorsAreGone else { return }
            logger.warning("an earlier eiced does not end")
            predecessorsEnded()
        }
    }

    private func predecessorsEnded() {
        predecessorsAreGone = true
        endIfAllAreGone()
    }

    private func waitForTheLast() {
        tunnels.stop { [weak self] in
            self?.tunnelsAreGone = true
            self?.endIfAllAreGone()
        }
    }

    private func endIfAllAreGone() {
        if tunnelsAreGone, predecessorsAreGone { completion() }
    }

    private func closeAll(_ ending: Ending) {
        // Another ending has come since.
        guard ending == self.ending else { return }
        for tunnel in tunnels.all { tunnel.close(ending.reason) }
    }

    private func hurry() {
        logger.notice("stopping at once")
        completion()
    }
}
