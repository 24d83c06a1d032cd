import Failures
import SocketIO
import Transport

// A tunnel's bytes: each way as far as the other side takes them. On the loop that the tunnel lives on.

extension Tunnel {
    // MARK: The local side

    func isReady(_ socket: StreamSocket, on loop: isolated Loop) {
        switch machine.state {
        case .open, .draining: pump(on: loop)
        default:
            // Not read yet: what it sends stays in the kernel's buffer. But a client that left gives its place back,
            // and one that no SSH client is takes none.
            guard !peekLocal(on: loop) else { return }
            if socket.peerShutDown || socket.hungUp {
                run(machine.localPeer(is: LocalPeer.examine(socket)), on: loop)
            }
        }
    }

    // MARK: The pump

    /// How far one direction got in a turn.
    private enum Progress {
        /// No more bytes for now.
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
            clock.delivered(at: loop.now)
        }
        switch machine.state {
        case .open:
            let upload = sendLocal(to: remote, on: loop)
            // After the upload, so that bytes from before a reset are sent as far as the endpoint takes them. The rest
            // is dropped.
            if download == .broken || local.wasReset, machine.state == .open { run(machine.localBroke(), on: loop) }
            if download == .again || upload == .again { local.socket?.callAgain(on: loop) }
            pace.carried(Int(handle.statistics.carried - carriedBefore), at: loop.now)
            moveIfElsewhere(on: loop)
        case .draining: drain(remote, download, on: loop)
        default: break
        }
    }

    /// The endpoint's bytes to the local side.
    private func deliver(from remote: any RemoteStream, on loop: isolated Loop) -> Progress {
        var rounds = pace.roundsPerTurn
        while true {
            if machine.state == .open { noteEnd(of: remote, on: loop) }
            while !remote.payload.isEmpty {
                guard let socket = local.socket else {
                    // The client is gone. Read on, because the endpoint's Close comes after these bytes.
                    remote.consume(remote.payload.count, on: loop)
                    break
                }
                guard socket.mayWrite else { return .blocked }
                switch socket.write(remote.payload) {
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

    /// Reports the end of the remote side's bytes to the state machine, if they ended.
    func noteEnd(of remote: any RemoteStream, on loop: isolated Loop) {
        switch remote.end {
        case nil: return
        case .failed(let failure): run(machine.remoteEnded(.failed(failure)), on: loop)
        case .finished:
            let end = clock.timers[.maxDuration]?.at
            let left = end.map { ContinuousClock.now.duration(to: $0) }
            run(machine.remoteEnded(.orderlyClose(left: left, of: handle.request.maxDuration)), on: loop)
        }
        if remote.isOver { run(machine.remoteGone(), on: loop) }
    }

    /// Ends the tunnel for a failure that the connection did not find itself. Bytes from before it are still delivered.
    func connectionFailed(_ failure: Failure, on loop: isolated Loop) {
        run(machine.failed(failure), on: loop)
        pump(on: loop)
    }

    /// The local side's bytes to the endpoint.
    private func sendLocal(to remote: any RemoteStream, on loop: isolated Loop) -> Progress {
        guard !local.hasEnded else {
            if local.socket?.hungUp == true, machine.state == .open { run(machine.localPeer(is: .gone), on: loop) }
            return .drained
        }
        var rounds = pace.roundsPerTurn
        while machine.state == .open, remote.maySend, local.mayRead {
            guard rounds > 0 else { return .again }
            rounds -= 1
            let buffer = loop.buffers.borrow()
            defer { loop.buffers.giveBack(buffer) }
            buffer.start = remote.headroom
            buffer.end = buffer.start
            let free = UnsafeMutableRawBufferPointer(rebasing: buffer.free.prefix(remote.largestPayload))
            switch local.read(into: free) {
            case .bytes(let count):
                buffer.end += count
                endSilence()
                guard !ends(by: local.judge(UnsafeRawBufferPointer(buffer.filled)), on: loop) else { return .drained }
                handle.statistics.addLocalToRemote(count)
                clock.lastActivity = loop.now
                remote.send(buffer, on: loop)
            case .wouldBlock: return .drained
            case .endOfFile:
                // An upload of an hour is no silence of the target: that is counted from here.
                clock.silentSince = .now
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
    func peekLocal(on loop: isolated Loop) -> Bool { ends(by: local.peek(), on: loop) }

    /// Returns whether the verdict ended the tunnel.
    private func ends(by verdict: FirstBytes.Verdict, on loop: isolated Loop) -> Bool {
        guard case .web(let client) = verdict else { return false }
        run(machine.close(.notSSH(client)), on: loop)
        return true
    }

    // MARK: The end

    /// After an end was decided: the rest to the local client, the close handshake with the endpoint.
    private func drain(_ remote: any RemoteStream, _ download: Progress, on loop: isolated Loop) {
        if download == .broken { run(machine.localBroke(), on: loop) }
        if remote.payload.isEmpty { run(machine.delivered(unsent: local.socket?.unsentBytes ?? 0), on: loop) }
        if local.socket?.hungUp == true { run(machine.localFinished(), on: loop) }
        if remote.isOver {
            run(machine.remoteGone(), on: loop)
        } else if download == .again {
            remote.callAgain(on: loop)
        }
        drainLocal(on: loop)
    }

    private func drainLocal(on loop: isolated Loop) {
        if local.drain(rounds: pace.roundsPerTurn, on: loop) { run(machine.localFinished(), on: loop) }
    }

    /// Everything is delivered: the local client gets its end of file.
    func finishLocal(on loop: isolated Loop) {
        local.finish()
        drainLocal(on: loop)
    }
}
