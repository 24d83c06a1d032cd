import Basics
import Failures
import Logging
import SocketIO
import Transport

/// What a tunnel came to, for `status`.
public struct EndedTunnel: Sendable {
    public let handle: TunnelHandle
    public let reason: CloseReason
    public let at: WallTime
}

/// All live tunnels, and the last that failed. Confined to the control loop.
public final class TunnelTable {
    /// Failed tunnels that `status` can still tell of.
    private static let rememberedFailures = 20

    private var services: TunnelServices
    private var live: [UInt64: TunnelHandle] = [:]
    private var nextID: UInt64 = 1
    /// Those that have no connection to an endpoint yet.
    private var unconnected: Set<UInt64> = []
    /// Those that no connection has joined yet.
    private var warm: [UInt64: (CloseReason) -> Void] = [:]
    /// Told of the ends of tunnels that a client uses.
    private var endings: [UInt64: (CloseReason) -> Void] = [:]
    private var whenEmpty: [() -> Void] = []
    private var reclaim = MemoryReclaim()
    private var pendingReclaim: Deadline?
    public private(set) var failures: [EndedTunnel] = []
    /// Told of each tunnel that is open now. Set once, before the first tunnel, as the two below.
    public var onOpen: ((TunnelHandle, DialTimings) -> Void)?
    /// Told that a tunnel's time is over in so long.
    public var onExpiring: ((TunnelHandle, Duration) -> Void)?
    /// Told of each end, after the table forgot the tunnel.
    public var onEnd: ((EndedTunnel) -> Void)?
    /// False once the daemon stops: nothing new.
    public private(set) var acceptsNew = true

    public init(services: TunnelServices) { self.services = services }

    /// For tunnels that begin from now on.
    public func apply(_ timeouts: TunnelTimeouts, warmTimeToLive: Duration) {
        services.timeouts = timeouts
        services.warmTimeToLive = warmTimeToLive
    }

    public var all: [TunnelHandle] { live.values.sorted { $0.id < $1.id } }

    public subscript(name: String) -> TunnelHandle? {
        guard name.hasPrefix("t"), let id = UInt64(name.dropFirst()) else { return nil }
        return live[id]
    }

    /// How many descriptors have to be free for one more tunnel: one for its own connection to an endpoint and for that of each
    /// tunnel that has none yet, and some for what is opened for a moment: sockets that ask the kernel, files, control sessions.
    public var descriptorReserve: Int { unconnected.count + 1 + Self.descriptorsForTheMoment }

    private static let descriptorsForTheMoment = 16

    /// Begins a tunnel.
    ///
    /// - Parameters:
    ///   - local: the client's connection; nil where `client` gives it once the tunnel is open.
    ///   - client: told of the outcome.
    ///   - whenOpened: on the control loop, if it opens.
    ///   - whenEnded: on the control loop, when it has ended.
    @discardableResult
    public func open(
        _ request: TunnelRequest, local: LocalStream?, client: (any TunnelClient)?, on loop: isolated Loop,
        whenOpened: (() -> Void)? = nil, whenEnded: ((CloseReason) -> Void)? = nil
    ) -> TunnelHandle {
        let handle = TunnelHandle(id: nextID, request: request, since: .now())
        nextID += 1
        live[handle.id] = handle
        endings[handle.id] = whenEnded
        reclaimMemory(on: loop)
        unconnected.insert(handle.id)
        let heard = LoopBound((table: self, whenOpened: whenOpened), on: loop)
        let tunnel = Tunnel(handle, services: services, client: client) { handle, event, loop in
            let (table, whenOpened) = heard.get(on: loop)
            table.note(event, of: handle, on: loop)
            if case .opened = event { whenOpened?() }
        }
        tunnel.start(local: local, on: loop)
        return handle
    }

    /// Begins a warm tunnel of a forward.
    ///
    /// - Parameter whenEnded: on the control loop, if it ends before a connection joined it.
    func openWarm(
        _ specification: ForwardSpecification, named name: ForwardName, on loop: isolated Loop,
        whenEnded: @escaping (CloseReason) -> Void
    ) -> TunnelHandle {
        var request = TunnelRequest(
            route: specification.route, forwardName: name, peer: "-",
            maxDuration: specification.maxDuration, idleTimeout: specification.idleTimeout,
            // SSH's server speaks first: with its first bytes here, a connection costs no round trip at all.
            waitsForTarget: ServerPort.speaksFirst(specification.route.remotePort))
        request.isWarm = true
        let handle = open(request, local: nil, client: nil, on: loop)
        warm[handle.id] = whenEnded
        return handle
    }

    /// Joins a connection to a warm tunnel. False when that is just ending; the connection is then untouched.
    ///
    /// - Parameter whenEnded: on the control loop, when the tunnel has ended after it was joined.
    func join(
        _ local: LocalStream, of caller: Caller, to handle: TunnelHandle, on loop: isolated Loop,
        whenEnded: @escaping (CloseReason) -> Void
    ) -> Bool {
        handle.update { $0.joinedBy = (caller.description, caller.identity) }
        guard handle.tunnel(on: loop)?.join(local, on: loop) == true else { return false }
        warm[handle.id] = nil
        if live[handle.id] != nil { endings[handle.id] = whenEnded }
        return true
    }

    /// The machine slept, or its routes changed: every tunnel is asked whether it is alive. What was made ahead of time is not worth
    /// the question, and is made anew where it is still wanted.
    public func disturbed(on loop: isolated Loop) {
        for transport in services.transports { transport.disturbed(on: loop) }
        for handle in live.values { if warm[handle.id] == nil { handle.probe() } else { handle.close(.unused) } }
    }

    /// Connections that are kept ready for a pool's gateway.
    public func reserve(of pool: GatewayPool, on loop: isolated Loop) -> GatewayReserve? {
        services.transport(of: pool.gateway).reserve(of: pool.gateway, on: loop)
    }

    /// Nothing new from now on; `completion` comes when the last tunnel has ended, at once if there is none.
    public func stop(completion: @escaping () -> Void) {
        acceptsNew = false
        for id in warm.keys { live[id]?.close(.unused) }
        if live.isEmpty { completion() } else { whenEmpty.append(completion) }
    }

    private func note(_ event: TunnelEvent, of handle: TunnelHandle, on loop: isolated Loop) {
        switch event {
        case .opened(let timings):
            unconnected.remove(handle.id)
            onOpen?(handle, timings)
        case .expiring(let left): onExpiring?(handle, left)
        case .ended(let reason):
            ended(handle, reason)
            reclaimMemory(on: loop)
        }
    }

    /// Gives memory back a little later, when those that begin or end together have.
    private func reclaimMemory(on loop: isolated Loop) {
        guard reclaim.changed(toOpen: live.count), pendingReclaim == nil else { return }
        scheduleReclaim(on: loop)
    }

    private func scheduleReclaim(on loop: isolated Loop) {
        pendingReclaim = loop.schedule(after: .seconds(5)) { [weak self] in
            guard let self else { return }
            pendingReclaim = nil
            for pool in services.pools.get(on: loop).all { pool.giveBackRoom() }
            live.giveBackRoom()
            if reclaim.gaveBack(withOpen: live.count) {
                for transport in services.transports { transport.renewReserves(on: loop) }
                // Once more, for what the new spares' handshakes leave.
                scheduleReclaim(on: loop)
            }
            Heap.giveBack()
        }
    }

    private func ended(_ handle: TunnelHandle, _ reason: CloseReason) {
        guard live.removeValue(forKey: handle.id) != nil else { return }
        unconnected.remove(handle.id)
        let whenEnded = warm.removeValue(forKey: handle.id)
        let ending = endings.removeValue(forKey: handle.id)
        defer {
            whenEnded?(reason)
            ending?(reason)
        }
        let end = EndedTunnel(handle: handle, reason: reason, at: .now())
        log(end)
        if reason.failure != nil {
            failures.append(end)
            if failures.count > Self.rememberedFailures { failures.removeFirst() }
        }
        onEnd?(end)
        guard live.isEmpty else { return }
        let waiting = whenEmpty
        whenEmpty = []
        for completion in waiting { completion() }
    }

    /// Warm tunnels come and go: only those that fail are worth a line by default.
    private func level(of end: EndedTunnel) -> Logger.Level {
        if end.reason.failure != nil { return .warning }
        // That a web page tries is told by the forward, at most once a minute.
        return [.unused, .notSSH].contains(end.reason.code) ? .debug : .info
    }

    /// One line for each tunnel, whatever became of it.
    private func log(_ end: EndedTunnel) {
        let handle = end.handle
        let snapshot = handle.snapshot
        services.logger.log(
            level: level(of: end),
            "tunnel closed: \(end.reason)",
            metadata: [
                "event": "tunnel-closed", "tunnel": "\(handle.name)", "target": "\(handle.request.targetText)",
                "endpoint": "\(snapshot.route?.path.gateway.id ?? "-")", "forward": "\(handle.request.forward ?? "-")",
                "peer": "\(handle.peer)", "reason": "\(end.reason.code.rawValue)",
                "request_id": "\(snapshot.requestID ?? "-")",
                "bytes_local_to_remote": "\(handle.statistics.localToRemote)",
                "bytes_remote_to_local": "\(handle.statistics.remoteToLocal)",
                "seconds": "\(end.at.secondsSinceEpoch - snapshot.since.secondsSinceEpoch)",
            ])
    }
}
