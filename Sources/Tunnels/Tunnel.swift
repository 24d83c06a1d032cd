// A byte's way, step 2 of 5: joins a local connection to a remote one. Next: TunnelStateMachine (3), which decides.

import AWS
import Failures
import InstanceConnect
import Logging
import OpenSSL
import SocketIO
import WebSocket

/// Who asked for a tunnel, where that is more than a listener. On the control loop.
public protocol TunnelClient: AnyObject {
    /// The tunnel is open: gives the local side away. Nil when there is none any more.
    func tunnelOpened(_ handle: TunnelHandle, on loop: isolated Loop) -> LocalStream?
    /// The tunnel ended before it was open.
    func tunnelFailed(_ reason: CloseReason, on loop: isolated Loop)
}

/// The local side of a tunnel.
public struct LocalStream {
    public let descriptor: FileDescriptor
    /// What the client sent already.
    public let received: [UInt8]
    /// What the client must get before the target's first byte.
    public let greeting: [UInt8]

    public init(_ descriptor: FileDescriptor, received: [UInt8] = [], greeting: [UInt8] = []) {
        self.descriptor = descriptor
        self.received = received
        self.greeting = greeting
    }
}

/// One tunnel's life: its two sides and its timers. Runs what ``TunnelStateMachine`` decides.
///
/// Lives on the control loop until it is open, then on a relay loop.
final class Tunnel: StreamSocketOwner, RemoteConnectionOwner {
    let handle: TunnelHandle
    private let services: TunnelServices
    private var machine: TunnelStateMachine
    private var client: (any TunnelClient)?
    private let tell: @Sendable (TunnelHandle, TunnelNews, isolated Loop) -> Void

    private var local: StreamSocket?
    /// Bytes of the client that came before its socket was ours.
    private var early: [UInt8] = []
    private var localHasEnded = false
    private var discardsLocal = false

    private var remote: RemoteConnection?
    private var connector: Connector?
    private var pool: EndpointPool?
    private var ticket: PoolStateMachine.Ticket?
    private var poolKey: EndpointKey?
    private var route: Route?
    private var signed: SignedTunnel?
    private var work: Task<Void, Never>?

    private var timers: [TunnelStateMachine.Timer: (deadline: Deadline, at: ContinuousClock.Instant)] = [:]
    private var lastActivity = ContinuousClock.now
    /// Since when the target has sent nothing that we could have delivered.
    private var silentSince = ContinuousClock.now
    private var looks = 0

    /// How deep in `run`, and where to go once nobody below uses this object any more.
    private var depth = 0
    private var destination: Loop?

    /// Turns of the pump before others get theirs: about 256 KiB each way.
    private static let roundsPerTurn = 4

    init(
        _ handle: TunnelHandle, services: TunnelServices, client: (any TunnelClient)?,
        tell: @escaping @Sendable (TunnelHandle, TunnelNews, isolated Loop) -> Void
    ) {
        self.handle = handle
        self.services = services
        self.client = client
        self.tell = tell
        let request = handle.request
        machine = TunnelStateMachine(
            timeouts: services.timeouts,
            limits: .init(
                maxDuration: request.maxDuration, idleTimeout: request.idleTimeout,
                waitsForTarget: request.waitsForTarget, target: request.targetText))
    }

    /// Begins. The local side is either given here, and watched from now on, or given by the client once the tunnel is
    /// open.
    func start(local stream: LocalStream?, on loop: isolated Loop) {
        handle.move(to: .at(LoopBound(self, on: loop)))
        if let stream, !adopt(stream, on: loop) { return }
        run(machine.started(), on: loop)
    }

    func close(_ reason: CloseReason, on loop: isolated Loop) { run(machine.close(reason), on: loop) }

    private func adopt(_ stream: LocalStream, on loop: isolated Loop) -> Bool {
        stream.descriptor.setNoDelay()
        do {
            let socket = try StreamSocket(stream.descriptor, owner: self, on: loop)
            local = socket
            early = stream.received
            if !stream.greeting.isEmpty, !greet(stream.greeting, over: socket) {
                run(machine.localBroke(), on: loop)
                return false
            }
            return true
        } catch {
            stream.descriptor.close()
            let failure = Failure(.internal, "cannot watch the local connection", why: error.reason)
            run(machine.close(.failed(failure)), on: loop)
            return false
        }
    }

    /// The first bytes to a client that waits for them: a line, which the empty buffer of its socket takes whole.
    private func greet(_ greeting: [UInt8], over socket: StreamSocket) -> Bool {
        greeting.withUnsafeBytes { socket.write($0) } == .wrote(greeting.count)
    }

    // MARK: Actions

    /// Where this makes the tunnel leave for a relay loop, nothing of it may be touched afterwards.
    private func run(_ actions: [TunnelStateMachine.Action], on loop: isolated Loop) {
        depth += 1
        for action in actions { run(action, on: loop) }
        depth -= 1
        guard depth == 0 else { return }
        publish()
        guard let destination else { return }
        self.destination = nil
        if machine.state == .open { move(to: destination, from: loop) }
    }

    private func run(_ action: TunnelStateMachine.Action, on loop: isolated Loop) {
        switch action {
        case .resolve: resolve(on: loop)
        case .requestSlot: requestSlot(on: loop)
        case .dial: dial(on: loop)
        case .announceOpen: announceOpen(on: loop)
        case .examineLocalPeer:
            guard let local else { return }
            run(machine.localPeer(is: LocalPeer.examine(local)), on: loop)
        case .sendClose(let code, let reason): remote?.sendClose(code: code, reason: reason, on: loop)
        case .finishLocal:
            local?.shutdownWrite()
            discardsLocal = true
            drainLocal(on: loop)
        case .abortLocal:
            local?.abortOnClose()
            closeLocal(on: loop)
        case .closeLocal: closeLocal(on: loop)
        case .closeRemote:
            connector?.cancel(on: loop)
            connector = nil
            remote?.close(on: loop)
        case .withdrawFromQueue: if let ticket { pool?.withdraw(ticket) }
        case .releaseSlot: releaseSlot(on: loop)
        case .start(let timer): start(timer, on: loop)
        case .cancel(let timer):
            if let entry = timers.removeValue(forKey: timer) { loop.cancel(entry.deadline) }
        case .report(let reason): end(reason, on: loop)
        }
    }

    /// Leaves for the loop of all open tunnels with this number.
    private func leaveForRelay() { destination = services.relays[Int(handle.id % UInt64(services.relays.count))] }

    private func closeLocal(on loop: isolated Loop) {
        local?.close(on: loop)
        local = nil
        remote?.dropUndelivered(on: loop)
    }

    private func end(_ reason: CloseReason, on loop: isolated Loop) {
        work?.cancel()
        work = nil
        for entry in timers.values { loop.cancel(entry.deadline) }
        timers = [:]
        remote?.dropUndelivered(on: loop)
        remote = nil
        handle.move(to: .nowhere)
        if reason.failure?.kind == .targetUnreachable {
            let router = services.router
            let request = handle.request.route
            Task { await router.forget(request) }
        }
        let handle = handle
        let tell = tell
        if let client {
            // A client is only kept until the tunnel is open, and until then this is the control loop.
            self.client = nil
            client.tunnelFailed(reason, on: loop)
        }
        let services = services
        let poolKey = poolKey
        services.control.submit { loop in
            if let poolKey, let failure = reason.failure {
                services.pools.get(on: loop).note(failure, at: poolKey)
            }
            tell(handle, .ended(reason), loop)
        }
    }

    private func publish() {
        let state: TunnelHandle.State =
            switch machine.state {
            case .new, .resolving, .queued: .queued
            case .dialing: .dialing
            case .open: .open
            case .draining: .draining
            case .closed: .closed
            }
        handle.update { $0.state = state }
    }

    // MARK: Timers

    private func start(_ timer: TunnelStateMachine.Timer, on loop: isolated Loop) {
        schedule(timer, at: .now + length(of: timer), on: loop)
    }

    private func schedule(
        _ timer: TunnelStateMachine.Timer, at instant: ContinuousClock.Instant, on loop: isolated Loop
    ) {
        if let old = timers.removeValue(forKey: timer) { loop.cancel(old.deadline) }
        let deadline = loop.schedule(at: instant) { [weak self] in self?.fired(timer, on: loop) }
        timers[timer] = (deadline, instant)
    }

    private func fired(_ timer: TunnelStateMachine.Timer, on loop: isolated Loop) {
        timers[timer] = nil
        let now = ContinuousClock.now
        // While the local client does not take what we have, the target's silence is our own.
        if (remote?.undeliveredCount ?? 0) > 0 { silentSince = now }
        run(
            machine.fired(
                timer, silence: silentSince.duration(to: now), idle: lastActivity.duration(to: now),
                unsent: local?.unsentBytes ?? 0),
            on: loop)
    }

    private func length(of timer: TunnelStateMachine.Timer) -> Duration {
        let timeouts = services.timeouts
        switch timer {
        case .resolve: return timeouts.resolve
        case .queue: return timeouts.queue
        case .phase:
            guard case .dialing(let phase) = machine.state else { return timeouts.dial }
            return timeouts[phase]
        case .dial: return timeouts.dial
        case .maxDuration: return handle.request.maxDuration
        case .idle:
            guard let timeout = handle.request.idleTimeout else { return .zero }
            return max(timeout - lastActivity.duration(to: .now), .zero)
        case .drain: return max(timeouts.drain - silentSince.duration(to: .now), .zero)
        case .secondLook:
            looks += 1
            return looks == 1 ? .milliseconds(10) : .seconds(1)
        case .closeHandshake: return timeouts.close
        case .delivery: return timeouts.delivery
        case .localLinger: return machine.reason?.isOrderly == true ? timeouts.close : .milliseconds(100)
        }
    }

    // MARK: Resolve, queue

    private func resolve(on loop: isolated Loop) {
        let bound = LoopBound(self, on: loop)
        let services = services
        let request = handle.request.route
        work = Task {
            let result: Result<Route, Failure>
            do throws(Failure) {
                result = .success(try await services.router.resolve(request))
            } catch {
                result = .failure(error)
            }
            bound.loop.submit { loop in bound.get(on: loop).resolved(result, on: loop) }
        }
    }

    private func resolved(_ result: Result<Route, Failure>, on loop: isolated Loop) {
        guard machine.state == .resolving else { return }
        switch result {
        case .success(let route):
            self.route = route
            handle.update { $0.route = route }
            run(machine.resolved(to: endpointName), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    private func requestSlot(on loop: isolated Loop) {
        guard let route else { return }
        let key = EndpointKey(region: route.region, id: route.endpoint.id)
        let pool = services.pools.get(on: loop).pool(key, dnsName: route.endpoint.dnsName)
        self.pool = pool
        poolKey = key
        var isImmediate = true
        var immediate: Result<Void, Failure>?
        let ticket = pool.request { [weak self, weak pool] result in
            if isImmediate {
                immediate = result
            } else if let self {
                slotDecided(result, on: loop)
            } else if case .success = result {
                pool?.release()
            }
        }
        isImmediate = false
        self.ticket = ticket
        if let immediate { slotDecided(immediate, on: loop) }
    }

    private func slotDecided(_ result: Result<Void, Failure>, on loop: isolated Loop) {
        ticket = nil
        switch result {
        case .success: run(machine.slotGranted(), on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    private func releaseSlot(on loop: isolated Loop) {
        guard let poolKey else { return }
        let services = services
        let dnsName = route?.endpoint.dnsName ?? ""
        services.control.submit { loop in services.pools.get(on: loop).pool(poolKey, dnsName: dnsName).release() }
    }

    // MARK: Dial

    private func dial(on loop: isolated Loop) {
        guard let route else { return }
        sign(route, on: loop)
        let address =
            services.connectTo ?? HostAndPort(host: route.endpoint.dnsName, port: route.endpoint.port)
        let bound = LoopBound(self, on: loop)
        services.resolver.resolve(address.host, port: address.port) { answer in
            bound.loop.submit { loop in bound.get(on: loop).nameResolved(answer, address, on: loop) }
        }
    }

    private func sign(_ route: Route, on loop: isolated Loop) {
        let bound = LoopBound(self, on: loop)
        let services = services
        let seconds = Int(handle.request.maxDuration.components.seconds)
        work = Task {
            let result: Result<SignedTunnel, Failure>
            do throws(Failure) {
                result = .success(try await services.router.sign(route, maxDuration: seconds))
            } catch {
                result = .failure(error)
            }
            bound.loop.submit { loop in bound.get(on: loop).requestSigned(result, on: loop) }
        }
    }

    private func requestSigned(_ result: Result<SignedTunnel, Failure>, on loop: isolated Loop) {
        guard case .dialing = machine.state else { return }
        switch result {
        case .success(let signed):
            self.signed = signed
            sendRequestIfReady(on: loop)
        case .failure(let failure): run(machine.failed(failure), on: loop)
        }
    }

    private func sendRequestIfReady(on loop: isolated Loop) {
        guard let signed, let remote else { return }
        do throws(UpgradeRequest.Invalid) {
            let request = try UpgradeRequest(
                host: signed.url.hostHeader, pathAndQuery: signed.url.pathAndQuery, key: SecureRandom.bytes(16),
                userAgent: services.userAgent)
            remote.setRequest(request, on: loop)
        } catch {
            run(machine.failed(Failure(.internal, "the signed request cannot be sent", why: error.sentence)), on: loop)
        }
    }

    private func nameResolved(_ answer: Resolver.Answer, _ address: HostAndPort, on loop: isolated Loop) {
        guard machine.state == .dialing(.connect), connector == nil else { return }
        switch answer {
        case .failure(let error):
            let failure = Failure(
                .nameNotResolved, "cannot resolve \(error.host) of \(endpointName)", why: error.reason,
                hint: "is this machine online?")
            run(machine.failed(failure), on: loop)
        case .success(let addresses):
            connector = Connector(to: addresses, on: loop) { [weak self] result in
                self?.connected(result, address, on: loop)
            }
        }
    }

    private func connected(
        _ result: Result<(FileDescriptor, SocketAddress), ConnectError>, _ address: HostAndPort,
        on loop: isolated Loop
    ) {
        connector = nil
        switch result {
        case .failure(let error):
            services.resolver.forget(address.host)
            let failure = Failure(
                .cannotConnect, "cannot connect to \(endpointName) at \(error.address)", why: error.error.reason)
            run(machine.failed(failure), on: loop)
        case .success((let descriptor, _)):
            descriptor.setKeepAlive(
                idle: .seconds(30), interval: .seconds(10), probes: 3, userTimeout: .seconds(60))
            do throws(Failure) {
                let names = RemoteNames(host: route?.endpoint.dnsName ?? address.host, endpoint: endpointName)
                remote = try RemoteConnection(descriptor, context: services.tls, names: names, owner: self, on: loop)
                run(machine.reached(.tls), on: loop)
                sendRequestIfReady(on: loop)
            } catch {
                run(machine.failed(error), on: loop)
            }
        }
    }

    private var endpointName: String { route?.endpoint.id ?? "the endpoint" }

    // MARK: What the remote side tells

    func remoteReached(_ phase: DialPhase, on loop: isolated Loop) { run(machine.reached(phase), on: loop) }

    func remoteUpgraded(requestID: String?, on loop: isolated Loop) {
        let expiry = WallTime.now().advanced(by: handle.request.maxDuration.components.seconds)
        handle.update {
            $0.requestID = requestID
            $0.expiresAt = expiry
        }
        silentSince = .now
        lastActivity = .now
        run(machine.upgraded(), on: loop)
        // Otherwise the tunnel is on its way to another loop by now.
        if handle.request.waitsForTarget { awaitFirstBytes(on: loop) }
    }

    func remoteRefused(_ head: HTTPResponseHead, body: [UInt8], on loop: isolated Loop) {
        guard let route, let signed else { return }
        let refusal = Refusal(
            status: head.status, headers: head.headers.fields.map { ($0.name, $0.value) }, body: body)
        handle.update { $0.requestID = refusal.requestID }
        run(machine.failed(refusal.failure(route: route, credentials: signed.credentials)), on: loop)
    }

    func remoteFailed(_ failure: Failure, on loop: isolated Loop) {
        run(machine.failed(failure), on: loop)
        deliverRest(on: loop)
    }

    func remoteClosed(_ close: CloseFrame, on loop: isolated Loop) {
        let close = EndpointClose(code: close.code?.rawValue, reason: close.reason)
        let failure = route.flatMap { close.failure(route: $0) }
        run(machine.remoteEnded(failure.map(CloseReason.failed) ?? reasonOfOrderlyClose), on: loop)
    }

    /// The endpoint counts the tunnel's life too, and from a moment earlier, so that it mostly ends it first.
    private var reasonOfOrderlyClose: CloseReason {
        let life = handle.request.maxDuration
        guard let limit = timers[.maxDuration]?.at, limit - .now < min(life / 10, .seconds(1)) else {
            return .remoteClosed
        }
        return .maxDuration(life)
    }

    func remoteGone(on loop: isolated Loop) { run(machine.remoteGone(), on: loop) }

    func remoteIsReady(on loop: isolated Loop) {
        switch machine.state {
        case .dialing(.firstBytes): awaitFirstBytes(on: loop)
        case .open, .draining: pump(on: loop)
        default: break
        }
    }

    private func awaitFirstBytes(on loop: isolated Loop) {
        guard machine.state == .dialing(.firstBytes), let remote else { return }
        remote.flush(on: loop)
        remote.receiveFirst(on: loop)
        if remote.undeliveredCount > 0 { run(machine.targetSpoke(), on: loop) }
    }

    // MARK: The local side

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        switch machine.state {
        case .open, .draining: pump(on: loop)
        default:
            // Not read yet: what it sends stays in the kernel's buffer. But a client that left gives its place back.
            if socket.peerShutDown || socket.hungUp {
                run(machine.localPeer(is: LocalPeer.examine(socket)), on: loop)
            }
        }
    }

    private func announceOpen(on loop: isolated Loop) {
        if let client {
            self.client = nil
            guard let stream = client.tunnelOpened(handle, on: loop) else {
                run(machine.close(.clientLeft), on: loop)
                return
            }
            guard adopt(stream, on: loop) else { return }
        }
        services.logger.info(
            "tunnel open",
            metadata: [
                "tunnel": "\(handle.name)", "target": "\(handle.request.targetText)", "endpoint": "\(endpointName)",
                "forward": "\(handle.request.forward ?? "-")", "peer": "\(handle.request.peer)",
                "request_id": "\(handle.snapshot.requestID ?? "-")",
            ])
        publish()
        tell(handle, .opened, loop)
        leaveForRelay()
    }

    // MARK: Moving

    private func move(to relay: Loop, from loop: isolated Loop) {
        local?.detach(on: loop)
        remote?.detach(on: loop)
        for entry in timers.values { loop.cancel(entry.deadline) }
        pool = nil
        work = nil
        let handle = handle
        handle.move(to: .onTheWay(relay))
        let handover = Handover(self)
        relay.submit { loop in
            let tunnel = handover.take()
            handle.move(to: .at(LoopBound(tunnel, on: loop)))
            tunnel.arrive(on: loop)
        }
    }

    private func arrive(on loop: isolated Loop) {
        // Deadlines of the loop it left mean nothing here: their numbers are those of other tunnels.
        let running = timers
        timers = [:]
        for (timer, entry) in running { schedule(timer, at: entry.at, on: loop) }
        do throws(SystemError) {
            try local?.attach(on: loop)
            try remote?.attach(on: loop)
        } catch {
            remoteFailed(Failure(.internal, "cannot watch the tunnel's sockets", why: error.reason), on: loop)
            return
        }
        pump(on: loop)
    }

    // MARK: The pump

    /// Carries what can be carried, each way as far as the other side takes it.
    private func pump(on loop: isolated Loop) {
        guard let remote else {
            drainLocal(on: loop)
            return
        }
        remote.flush(on: loop)
        let before = handle.statistics.remoteToLocal
        let delivery = remote.receive(
            into: local, rounds: Self.roundsPerTurn, count: { handle.statistics.addRemoteToLocal($0) }, on: loop)
        if handle.statistics.remoteToLocal != before {
            silentSince = .now
            lastActivity = silentSince
        }
        switch machine.state {
        case .open:
            let upload = sendLocal(on: loop)
            // Only now: what the client sent before it left is on its way, as far as the endpoint takes it.
            if localIsBroken(delivery), machine.state == .open { run(machine.localBroke(), on: loop) }
            if delivery == .again || upload == .again { local?.callAgain(on: loop) }
        case .draining: drain(delivery, on: loop)
        default: break
        }
    }

    /// A write that failed, or a reset. The reset must not wait until the endpoint takes what lies before it.
    private func localIsBroken(_ delivery: RemoteConnection.Delivery) -> Bool {
        if case .localFailed = delivery { return true }
        guard let local, local.hungUp else { return false }
        return StreamSocket.pendingError(of: local.descriptor, "read") != nil
    }

    private enum Upload { case drained, again }

    private func sendLocal(on loop: isolated Loop) -> Upload {
        guard let local, let remote, !localHasEnded else {
            if let local, local.hungUp, localHasEnded, machine.state == .open {
                run(machine.localPeer(is: .gone), on: loop)
            }
            return .drained
        }
        var rounds = Self.roundsPerTurn
        while machine.state == .open, remote.maySend, local.mayRead || !early.isEmpty {
            guard rounds > 0 else { return .again }
            rounds -= 1
            let buffer = loop.buffers.borrow()
            defer { loop.buffers.giveBack(buffer) }
            buffer.start = FrameHeader.maximumLength
            buffer.end = buffer.start
            switch readLocal(local, into: buffer) {
            case .bytes(let count):
                buffer.end += count
                handle.statistics.addLocalToRemote(count)
                lastActivity = .now
                remote.send(buffer, on: loop)
            case .wouldBlock: return .drained
            case .endOfFile:
                localHasEnded = true
                // An upload of an hour is no silence of the target: that is counted from here.
                silentSince = .now
                run(machine.localEnded(), on: loop)
                return .drained
            case .failed:
                run(machine.localBroke(), on: loop)
                return .drained
            }
        }
        return .drained
    }

    private func readLocal(_ local: StreamSocket, into buffer: Buffer) -> StreamSocket.ReadResult {
        let memory = UnsafeMutableRawBufferPointer(rebasing: buffer.free.prefix(RemoteConnection.largestFrame))
        guard early.isEmpty else {
            let count = min(early.count, memory.count)
            memory.copyBytes(from: early.prefix(count))
            early.removeFirst(count)
            return .bytes(count)
        }
        return local.read(into: memory)
    }

    /// After an end was decided: the rest to the local client, the close handshake with the endpoint.
    private func drain(_ delivery: RemoteConnection.Delivery, on loop: isolated Loop) {
        if case .localFailed = delivery { run(machine.localBroke(), on: loop) }
        deliverRest(on: loop)
        if local?.hungUp == true { run(machine.localFinished(), on: loop) }
        if let remote, machine.state == .draining {
            if remote.isClosed {
                run(machine.remoteGone(), on: loop)
            } else if machine.reason?.code != .remoteClosed {
                remote.discard(on: loop)
            }
        }
        drainLocal(on: loop)
    }

    private func deliverRest(on loop: isolated Loop) {
        guard machine.state == .draining, let remote else { return }
        if remote.undeliveredCount > 0, local != nil {
            let delivery = remote.receive(
                into: local, rounds: 1, count: { handle.statistics.addRemoteToLocal($0) }, on: loop)
            if case .localFailed = delivery { run(machine.localBroke(), on: loop) }
        }
        if remote.undeliveredCount == 0 { run(machine.delivered(unsent: local?.unsentBytes ?? 0), on: loop) }
    }

    /// The target is gone and the local client got its end of file: what it still sends has nowhere to go, but closing
    /// on unread bytes would reset the connection and could cost the client the target's last ones.
    private func drainLocal(on loop: isolated Loop) {
        guard discardsLocal, let local else { return }
        let buffer = loop.buffers.borrow()
        defer { loop.buffers.giveBack(buffer) }
        for _ in 0..<Self.roundsPerTurn where local.mayRead {
            switch local.read(into: buffer.memory) {
            case .bytes: continue
            case .wouldBlock: return
            case .endOfFile, .failed:
                run(machine.localFinished(), on: loop)
                return
            }
        }
        if local.mayRead { local.callAgain(on: loop) }
    }
}
