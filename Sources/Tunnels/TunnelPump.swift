import AWS
import Failures
import InstanceConnect
import SocketIO
import WebSocket

extension Tunnel: RemoteConnectionOwner {
    func remoteReached(_ phase: DialPhase, on loop: isolated Loop) {
        if phase == .upgrade { requested = .now }
        run(machine.reached(phase), on: loop)
    }

    func remoteUpgraded(requestID: String?, on loop: isolated Loop) {
        let expiry = WallTime.now().advanced(by: handle.request.maxDuration.components.seconds)
        handle.update {
            $0.requestID = requestID
            $0.expiresAt = expiry
        }
        // Secret, and of no use any more.
        signed = nil
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

    /// The endpoint counts the tunnel's life too, and may be the first to end it by a moment.
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
}

extension Tunnel: StreamSocketOwner {
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
}

/// The pump: bytes, each way as far as the other side takes them, and what is left at the end.
extension Tunnel {
    /// Carries what can be carried, each way as far as the other side takes it.
    func pump(on loop: isolated Loop) {
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
    func drain(_ delivery: RemoteConnection.Delivery, on loop: isolated Loop) {
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
    func drainLocal(on loop: isolated Loop) {
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
