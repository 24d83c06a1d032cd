import Failures
import SocketIO

// A tunnel's bytes: each way as far as the other side takes them. On the loop that the tunnel lives on.

extension Tunnel {
    // MARK: The local side

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        switch machine.state {
        case .open, .draining: pump(on: loop)
        default:
            // Not read yet: what it sends stays in the kernel's buffer. But a client that left gives its place back, and one that no
            // SSH client is takes none.
            guard !peekLocal(on: loop) else { return }
            if socket.peerShutDown || socket.hungUp {
                run(machine.localPeer(is: LocalPeer.examine(socket)), on: loop)
            }
        }
    }

    // MARK: The pump

    /// How far one direction got in a turn.
    private enum Progress {
        /// There is no more for now.
        case drained
        /// The other side takes no more for now.
        case blocked
        /// More may be there, but others get their turn first.
        case again
        /// The local side broke.
        case broken
    }

    /// Carries what can be carried, each way as far as the other side takes it.
    func pump(on loop: isolated Loop) {
        guard let remote else { return drainLocal(on: loop) }
        remote.flush(on: loop)
        let (before, carriedBefore) = (handle.statistics.remoteToLocal, handle.statistics.carried)
        let download = deliver(from: remote, on: loop)
        if handle.statistics.remoteToLocal != before {
            silentSince = loop.now
            lastActivity = silentSince
        }
        switch machine.state {
        case .open:
            let upload = sendLocal(to: remote, on: loop)
            // Only now: what the client sent before it left is on its way, as far as the endpoint takes it.
            if localIsBroken(download), machine.state == .open { run(machine.localBroke(), on: loop) }
            if download == .again || upload == .again { local?.callAgain(on: loop) }
            pace.carried(Int(handle.statistics.carried - carriedBefore), at: loop.now)
            moveIfElsewhere(on: loop)
        case .draining: drain(remote, download, on: loop)
        default: break
        }
    }

    /// The endpoint's bytes to the local side.
    private func deliver(from remote: RemoteConnection, on loop: isolated Loop) -> Progress {
        var rounds = pace.roundsPerTurn
        while true {
            if machine.state == .open { noteEnd(of: remote, on: loop) }
            while !remote.payload.isEmpty {
                guard let local else {
                    // Nobody is left to deliver to, and what comes is in the way of the endpoint's end.
                    remote.consume(remote.payload.count, on: loop)
                    break
                }
                guard local.mayWrite else { return .blocked }
                switch local.write(remote.payload) {
                case .wrote(let count):
                    remote.consume(count, on: loop)
                    handle.statistics.addRemoteToLocal(count)
                case .wouldBlock: return .blocked
                case .failed: return .broken
                }
            }
            guard remote.mayFill else { return .drained }
            guard rounds > 0 else { return .again }
            rounds -= 1
            guard remote.fill(on: loop) else { return .drained }
        }
    }

    /// The connection failed above the bytes: what came before that is still delivered.
    func connectionFailed(_ failure: Failure, on loop: isolated Loop) {
        run(machine.failed(failure), on: loop)
        pump(on: loop)
    }

    /// A write that failed, or a reset. The reset must not wait until the endpoint takes what lies before it.
    private func localIsBroken(_ download: Progress) -> Bool {
        if download == .broken { return true }
        guard let local, local.hungUp else { return false }
        return StreamSocket.pendingError(of: local.descriptor, "read") != nil
    }

    /// The local side's bytes to the endpoint.
    private func sendLocal(to remote: RemoteConnection, on loop: isolated Loop) -> Progress {
        guard let local, !localHasEnded else {
            if let local, local.hungUp, localHasEnded, machine.state == .open {
                run(machine.localPeer(is: .gone), on: loop)
            }
            return .drained
        }
        var rounds = pace.roundsPerTurn
        while machine.state == .open, remote.maySend, local.mayRead || !early.isEmpty {
            guard rounds > 0 else { return .again }
            rounds -= 1
            let buffer = loop.buffers.borrow()
            defer { loop.buffers.giveBack(buffer) }
            buffer.start = RemoteConnection.headroom
            buffer.end = buffer.start
            switch readLocal(local, into: buffer) {
            case .bytes(let count):
                buffer.end += count
                guard takes(UnsafeRawBufferPointer(buffer.filled), on: loop) else { return .drained }
                handle.statistics.addLocalToRemote(count)
                lastActivity = loop.now
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

    // MARK: The first bytes

    /// Looks at what the client has sent and nobody has read yet. Returns whether that ended the tunnel.
    func peekLocal(on loop: isolated Loop) -> Bool {
        guard isFromPort, let local, !hasSpoken || firstBytes != nil else { return false }
        let seen = [UInt8](unsafeUninitializedCapacity: FirstBytes.longest) { memory, count in
            count = local.peek(into: UnsafeMutableRawBufferPointer(memory))
        }
        guard !seen.isEmpty else { return false }
        hasSpoken = true
        guard firstBytes != nil else { return false }
        return conclude(FirstBytes.verdict(on: seen), on: loop)
    }

    /// Returns whether bytes that the client sent may go on their way.
    private func takes(_ bytes: UnsafeRawBufferPointer, on loop: isolated Loop) -> Bool {
        if isSilent { endSilence() }
        guard let verdict = firstBytes?.feed(bytes) else { return true }
        return !conclude(verdict, on: loop)
    }

    /// Returns whether the verdict ended the tunnel.
    private func conclude(_ verdict: FirstBytes.Verdict, on loop: isolated Loop) -> Bool {
        switch verdict {
        case .undecided: return false
        case .clear: firstBytes = nil
        case .web(let client):
            firstBytes = nil
            run(machine.close(.notSSH(client)), on: loop)
            return true
        }
        return false
    }

    /// The tunnel is open. As long as its client sends nothing its slot may be given to one who waits.
    func noteSilence(on loop: isolated Loop) {
        guard isFromPort, !hasSpoken, let slot, let pool = services.pools.get(on: loop).existing(slot.key) else {
            return
        }
        isSilent = true
        let handle = handle
        pool.becameSilent(slot.ticket, on: loop) { handle.close(.silent) }
    }

    private func endSilence() {
        isSilent = false
        guard let slot else { return }
        let pools = services.pools
        services.control.submit { loop in pools.get(on: loop).existing(slot.key)?.spoke(slot.ticket) }
    }

    private func readLocal(_ local: StreamSocket, into buffer: Buffer) -> StreamSocket.ReadResult {
        let memory = UnsafeMutableRawBufferPointer(rebasing: buffer.free.prefix(RemoteConnection.largestPayload))
        guard early.isEmpty else {
            let count = min(early.count, memory.count)
            memory.copyBytes(from: early.prefix(count))
            early.removeFirst(count)
            return .bytes(count)
        }
        return local.read(into: memory)
    }

    /// After an end was decided: the rest to the local client, the close handshake with the endpoint.
    private func drain(_ remote: RemoteConnection, _ download: Progress, on loop: isolated Loop) {
        if download == .broken { run(machine.localBroke(), on: loop) }
        if remote.payload.isEmpty { run(machine.delivered(unsent: local?.unsentBytes ?? 0), on: loop) }
        if local?.hungUp == true { run(machine.localFinished(), on: loop) }
        if remote.isOver {
            run(machine.remoteGone(), on: loop)
        } else if download == .again {
            remote.callAgain(on: loop)
        }
        drainLocal(on: loop)
    }

    /// The target is gone and the local client got its end of file: what it still sends has nowhere to go, but closing
    /// on unread bytes would reset the connection and could cost the client the target's last ones.
    func drainLocal(on loop: isolated Loop) {
        guard discardsLocal, let local else { return }
        let buffer = loop.buffers.borrow()
        defer { loop.buffers.giveBack(buffer) }
        for _ in 0..<pace.roundsPerTurn where local.mayRead {
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
