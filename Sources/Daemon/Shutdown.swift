import Logging
import SocketIO
import Tunnels

/// stop → drain → exit: nothing new is accepted when this begins; tunnels get `drain` to end by themselves, then they
/// are closed. Confined to the control loop.
final class Shutdown {
    private let tunnels: TunnelTable
    private let logger: Logger
    private let completion: () -> Void
    private var deadline: Deadline?

    init(
        tunnels: TunnelTable, drain: Duration, logger: Logger, on loop: isolated Loop,
        completion: @escaping () -> Void
    ) {
        self.tunnels = tunnels
        self.logger = logger
        self.completion = completion
        let open = tunnels.all.count
        logger.notice("stopping: \(open == 0 ? "no tunnel is open" : "\(open) tunnels have \(drain) to end")")
        deadline = loop.schedule(after: drain) { [weak self] in self?.closeAll() }
        // Not from within the request that asked: its reply leaves first.
        _ = loop.schedule(after: .zero) { [weak self] in self?.waitForTheLast() }
    }

    private func waitForTheLast() { tunnels.stop(completion: completion) }

    private func closeAll() {
        for tunnel in tunnels.all { tunnel.close(.shutdown) }
    }

    /// A second request or signal: at once.
    func hurry() {
        logger.notice("stopping at once")
        completion()
    }
}
