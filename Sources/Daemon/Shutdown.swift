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

    var drain: Duration {
        switch self {
        case .stop(let drain), .restart(let drain): drain
        }
    }

    /// What becomes of a tunnel that does not end by itself.
    var reason: CloseReason {
        switch self {
        case .stop: .shutdown
        case .restart: .restart
        }
    }

    /// For the log and for `systemctl status`.
    var word: String {
        switch self {
        case .stop: "stopping"
        case .restart: "restarting"
        }
    }
}

/// stop → drain → exit: nothing new is accepted when this begins; tunnels get their time to end by themselves, then they
/// are closed. Confined to the control loop.
final class Shutdown {
    /// How often the service manager is asked for more time, and for how much: a drain that hangs is not waited for for long.
    private static let extensionPause = Duration.seconds(10)
    private static let extensionLength = Duration.seconds(30)

    private let ending: Ending
    private let tunnels: TunnelTable
    private let notifier: Notifier
    private let logger: Logger
    private let completion: () -> Void

    init(
        _ ending: Ending, tunnels: TunnelTable, notifier: Notifier, logger: Logger, on loop: isolated Loop,
        completion: @escaping () -> Void
    ) {
        self.ending = ending
        self.tunnels = tunnels
        self.notifier = notifier
        self.logger = logger
        self.completion = completion
        let open = tunnels.all.count
        let status =
            "\(ending.word): \(open == 0 ? "no tunnel is open" : "\(open) tunnels have \(ending.drain) to end")"
        logger.notice("\(status)")
        notifier.stopping(status: status)
        extendTimeout(on: loop)
        _ = loop.schedule(after: ending.drain) { [weak self] in self?.closeAll() }
        // Not from within the request that asked: its reply leaves first.
        _ = loop.schedule(after: .zero) { [weak self] in self?.waitForTheLast() }
    }

    private func extendTimeout(on loop: isolated Loop) {
        notifier.extendTimeout(by: Self.extensionLength)
        _ = loop.schedule(after: Self.extensionPause) { [weak self] in self?.extendTimeout(on: loop) }
    }

    private func waitForTheLast() { tunnels.stop(completion: completion) }

    private func closeAll() {
        for tunnel in tunnels.all { tunnel.close(ending.reason) }
    }

    /// A second request or signal: at once.
    func hurry() {
        logger.notice("stopping at once")
        completion()
    }
}
