import Bounds
import ControlServer
import Failures
import Glibc
import Logging
import ServiceManager
import SocketIO
import Tunnels

/// The old process's part of a hand-over: gives everything to a new process, and goes on with nothing but its tunnels.
/// Confined to the control loop.
///
/// Until the new process waits for the word to begin nothing is given up: whatever goes wrong before leaves all as it was.
final class HandingOver {
    /// What is handed over, and what must fall silent.
    struct Parts {
        let forwards: ForwardTable
        let pools: GatewayPools
        let server: ControlServer
        let socket: ControlListener
        let disk: ForwardsDisk
        let predecessors: Predecessors
        let watchdog: Watchdog?
        let service: ServiceContext
    }

    private let parts: Parts
    private let logger: Logger
    private var successor: Successor?
    /// To the new process, once it has taken over.
    private var channel: HandoverChannel?
    private var willReport = false

    init(_ parts: Parts, logger: Logger) {
        self.parts = parts
        self.logger = logger
    }

    // MARK: Beginning

    /// Starts the program, and hands over to it.
    ///
    /// - Parameter completion: the process that has taken over, or why none has.
    func begin(
        _ program: SuccessorProgram, on loop: isolated Loop, completion: @escaping (Result<pid_t, Failure>) -> Void
    ) {
        let ends: (FileDescriptor, FileDescriptor)
        do throws(SystemError) {
            ends = try HandoverSocket.pair()
        } catch {
            return completion(.failure(Successor.failure(error.description)))
        }
        let home = LoopBound((self, completion), on: loop)
        // A fork takes a while.
        BlockingPool.shared.run {
            let outcome: Result<pid_t, SystemError>
            do throws(SystemError) {
                outcome = .success(try program.start(channel: ends.1))
            } catch {
                outcome = .failure(error)
            }
            ends.1.close()
            home.loop.submit { loop in
                let (handingOver, completion) = home.get(on: loop)
                switch outcome {
                case .success(let process):
                    handingOver.give(to: process, isOurs: true, over: ends.0, on: loop, completion: completion)
                case .failure(let error): completion(.failure(Successor.failure(error.description)))
                }
            }
        }
    }

    /// Hands over to a process that waits on a socket of its own.
    func begin(
        at path: String, on loop: isolated Loop, completion: @escaping (Result<pid_t, Failure>) -> Void
    ) {
        guard !parts.service.notifier.hasListener else {
            return completion(
                .failure(
                    Failure(
                        .handoverFailed, "another program cannot take over from this eiced",
                        why: "it runs as a service, and a service's processes are its own",
                        hint: "eicectl shutdown --handover")))
        }
        do throws(SystemError) {
            let socket = try HandoverSocket.make()
            guard let address = SocketAddress(unixPath: path) else { throw SystemError("connect", code: ENAMETOOLONG) }
            guard address.withSockaddr({ connect(socket.raw, $0, $1) }) == 0 else { throw SystemError("connect") }
            let peer = try PeerCredentials(of: socket)
            guard peer.uid == geteuid() else { throw SystemError("hand over to another user", code: EPERM) }
            give(to: pid_t(peer.pid), isOurs: false, over: socket, on: loop, completion: completion)
        } catch {
            completion(.failure(Successor.failure(error.description)))
        }
    }

    private func give(
        to process: pid_t, isOurs: Bool, over socket: FileDescriptor, on loop: isolated Loop,
        completion: @escaping (Result<pid_t, Failure>) -> Void
    ) {
        do throws(SystemError) {
            successor = try Successor(
                socket, program: isOurs ? process : nil, packets: packets(on: loop), on: loop
            ) { [weak self] outcome in
                guard let self else { return }
                successor = nil
                switch outcome {
                case .success(let channel):
                    letGo(to: process, over: channel, on: loop)
                    completion(.success(process))
                case .failure(let failure):
                    logger.error("\(failure)")
                    completion(.failure(failure))
                }
            }
        } catch {
            completion(.failure(Successor.failure(error.description)))
        }
    }

    // MARK: What is given

    private func packets(on loop: isolated Loop) -> [HandoverPacket] {
        func packet(_ name: String, _ descriptors: [FileDescriptor]) -> HandoverPacket {
            HandoverPacket(message: HandoverMessage(.descriptors, name: name), descriptors: descriptors)
        }
        var packets: [HandoverPacket] = []
        if let lock = parts.socket.lock {
            packets.append(packet(DescriptorStore.ownControl, [parts.socket.descriptor]))
            packets.append(packet(HandoverName.controlLock, [lock]))
        } else {
            packets.append(packet(DescriptorStore.control, [parts.socket.descriptor]))
        }
        if let lock = parts.disk.lock { packets.append(packet(HandoverName.forwardsLock, [lock])) }
        if let starts = parts.service.starts { packets.append(packet(StartRecord.name, [starts.file])) }
        for (specification, listeners) in parts.forwards.listeners {
            if listeners.isManaged {
                packets.append(packet(specification.name, listeners.descriptors))
            } else {
                for listener in listeners.descriptors {
                    guard let address = SocketAddress.local(of: listener) else { continue }
                    packets.append(packet(DescriptorStore.name(of: specification.name, address), [listener]))
                }
            }
        }
        for forward in parts.forwards.all where forward.specification.isEphemeral {
            packets.append(
                HandoverPacket(message: HandoverMessage(.forward, forward: SavedForward(forward.specification))))
        }
        for (name, socket) in parts.predecessors.channels { packets.append(packet(name, [socket])) }
        return packets
    }

    // MARK: Letting go

    private func letGo(to process: pid_t, over channel: HandoverChannel, on loop: isolated Loop) {
        logger.notice("handed over", metadata: ["event": "handed-over", "pid": "\(process)"])
        parts.forwards.handOver(on: loop)
        parts.server.letGo(on: loop)
        parts.disk.letGo()
        parts.predecessors.letGo(on: loop)
        parts.watchdog?.stop(on: loop)
        parts.service.starts?.clear()
        parts.service.notifier.mainProcess(process)
        parts.service.notifier.silence()
        self.channel = channel
        channel.onMessage = { [weak self] message in
            if message.kind == .report { self?.report(on: loop) }
        }
        // Whoever comes after it finds us, or nobody does: the tunnels go on in any case.
        channel.onEnd = {}
        parts.pools.onUse = { [weak self] in self?.reportSoon(on: loop) }
        channel.send(HandoverMessage(.go), on: loop)
    }

    /// Tunnels end in groups, and each end counts once for all.
    private func reportSoon(on loop: isolated Loop) {
        guard !willReport else { return }
        willReport = true
        loop.soon { [weak self] in self?.report(on: loop) }
    }

    private func report(on loop: isolated Loop) {
        willReport = false
        let slots = parts.pools.all.map {
            TakenSlots($0.gateway, host: $0.host, count: $0.inUse)
        }
        channel?.send(HandoverMessage(.taken, slots: slots), on: loop)
    }
}
