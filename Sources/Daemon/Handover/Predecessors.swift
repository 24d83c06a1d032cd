import ControlProtocol
import Glibc
import Logging
import ServiceManager
import SocketIO
import Transport
import Tunnels

/// Processes that handed over to this one, or to one before it, and go on until their tunnels have ended. Their tunnels
/// count as taken slots. Confined to the control loop.
///
/// The way to each is kept by the service manager, so that a next process finds it after a crash or a restart too.
final class Predecessors {
    private struct Predecessor {
        let process: pid_t
        let channel: HandoverChannel
        var slots: [TakenSlots] = []
    }

    private let pools: GatewayPools
    private let notifier: Notifier
    private let logger: Logger
    private var all: [Predecessor] = []
    private var whenGone: [() -> Void] = []
    /// Told that one ended, or that its tunnels are others.
    var onChange: (() -> Void)?

    init(pools: GatewayPools, notifier: Notifier, logger: Logger) {
        self.pools = pools
        self.notifier = notifier
        self.logger = logger
    }

    /// Their processes, and how many slots each holds.
    var counts: [DrainingProcess] {
        all.map { DrainingProcess(pid: Int($0.process), slots: $0.slots.reduce(0) { $0 + $1.count }) }
    }

    private static func name(_ process: pid_t) -> String { "\(HandoverName.predecessor)\(process)" }

    /// Takes over the way to a process that drains.
    func adopt(_ socket: FileDescriptor, on loop: isolated Loop) {
        // A socket pair's peer is the process that made it, which is the one that drains; else the one that connected.
        guard let peer = try? PeerCredentials(of: socket), let channel = try? HandoverChannel(socket, on: loop) else {
            return
        }
        let process = pid_t(peer.pid)
        all.append(Predecessor(process: process, channel: channel))
        channel.onMessage = { [weak self] message in
            guard message.kind == .taken, let slots = message.slots else { return }
            self?.heard(slots, from: process, on: loop)
        }
        channel.onEnd = { [weak self] in self?.ended(process, on: loop) }
        notifier.store(socket, as: Self.name(process))
        channel.send(HandoverMessage(.report), on: loop)
    }

    private func heard(_ slots: [TakenSlots], from process: pid_t, on loop: isolated Loop) {
        guard let index = all.firstIndex(where: { $0.process == process }) else { return }
        all[index].slots = slots
        apply(on: loop)
    }

    private func ended(_ process: pid_t, on loop: isolated Loop) {
        all.removeAll { $0.process == process }
        notifier.removeStored(Self.name(process))
        logger.info("the eiced that handed over has ended", metadata: ["pid": "\(process)"])
        apply(on: loop)
        guard all.isEmpty else { return }
        let waiting = whenGone
        whenGone = []
        for body in waiting { body() }
    }

    private func apply(on loop: isolated Loop) {
        var taken: [Gateway: (count: Int, host: String?)] = [:]
        for slots in all.flatMap(\.slots) where slots.count > 0 {
            let count = (taken[slots.gateway]?.count ?? 0) + slots.count
            taken[slots.gateway] = (count, slots.dnsName.isEmpty ? nil : slots.dnsName)
        }
        pools.setTaken(taken, on: loop)
        onChange?()
    }

    // MARK: The end of this process

    /// The service stops: they have as long as this process has. `completion` comes when the last has ended.
    func stop(completion: @escaping () -> Void) {
        // As long as its end of the channel is open the number is still that process's.
        for predecessor in all { kill(predecessor.process, SIGTERM) }
        if all.isEmpty { completion() } else { whenGone.append(completion) }
    }

    /// Their channels, by name, for the process that takes over from this one.
    var channels: [(name: String, socket: FileDescriptor)] {
        all.map { (Self.name($0.process), $0.channel.socket) }
    }

    /// Nothing is heard of them here any more.
    func letGo(on loop: isolated Loop) {
        for predecessor in all { predecessor.channel.close(on: loop) }
        all = []
    }
}
