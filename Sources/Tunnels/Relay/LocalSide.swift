import SocketIO

/// A tunnel's local side: the client's socket, and the state of the client's bytes. It has no socket until a client is
/// there. Confined to the tunnel's loop.
struct LocalSide {
    private(set) var socket: StreamSocket?
    /// The client's end of file was read.
    private(set) var hasEnded = false
    /// Bytes of the client that arrived before the tunnel had its socket.
    private var early: [UInt8] = []
    /// The client connected to a TCP port, so it may be a browser that a web page controls.
    private var isFromPort = false
    /// Judges the first bytes for an SSH server; nil once that is decided, and for other servers.
    private var firstBytes: FirstBytes?
    /// The client has sent something, whether it was read or not.
    private var hasSpoken = false
    /// The client got its end of file.
    private var isFinished = false

    /// Takes the client's socket and watches it. If this throws, the caller keeps the socket.
    ///
    /// - Parameter isSSH: whether the target is an SSH server.
    mutating func adopt(
        _ stream: LocalStream, isSSH: Bool, owner: any StreamSocketOwner, on loop: isolated Loop
    ) throws(SystemError) {
        stream.descriptor.setNoDelay()
        socket = try StreamSocket(stream.descriptor, owner: owner, on: loop)
        early = stream.received
        isFromPort = stream.isFromPort
        firstBytes = isFromPort && isSSH ? FirstBytes() : nil
    }

    /// Sends a line to a client that waits for it. The empty buffer of its socket takes the whole line.
    ///
    /// - Returns: false if the client is gone.
    func greet(_ greeting: [UInt8]) -> Bool {
        guard let socket, !greeting.isEmpty else { return true }
        return greeting.withUnsafeBytes { socket.write($0) } == .wrote(greeting.count)
    }

    // MARK: The client's bytes

    /// The client came over a TCP port and has sent nothing so far.
    var isSilent: Bool { isFromPort && !hasSpoken }

    /// Judges the client's bytes without reading them.
    mutating func peek() -> FirstBytes.Verdict {
        guard isFromPort, let socket, !hasSpoken || firstBytes != nil else { return .clear }
        let seen = [UInt8](unsafeUninitializedCapacity: FirstBytes.longest) { memory, count in
            count = socket.peek(into: UnsafeMutableRawBufferPointer(memory))
        }
        guard !seen.isEmpty else { return .undecided }
        hasSpoken = true
        return firstBytes == nil ? .clear : decided(FirstBytes.verdict(on: seen))
    }

    /// Judges bytes that were read, before they are sent.
    mutating func judge(_ bytes: UnsafeRawBufferPointer) -> FirstBytes.Verdict {
        guard let verdict = firstBytes?.feed(bytes) else { return .clear }
        return decided(verdict)
    }

    private mutating func decided(_ verdict: FirstBytes.Verdict) -> FirstBytes.Verdict {
        if verdict != .undecided { firstBytes = nil }
        return verdict
    }

    /// Whether `read` may give something.
    var mayRead: Bool { socket?.mayRead == true || !early.isEmpty }

    /// Reads once, at most as much as the memory holds.
    mutating func read(into memory: UnsafeMutableRawBufferPointer) -> StreamSocket.ReadResult {
        guard early.isEmpty else {
            let count = min(early.count, memory.count)
            memory.copyBytes(from: early.prefix(count))
            early.removeFirst(count)
            return .bytes(count)
        }
        guard let socket else { return .wouldBlock }
        let result = socket.read(into: memory)
        if result == .endOfFile { hasEnded = true }
        return result
    }

    /// Whether the client reset its connection. Clears the socket's error.
    var wasReset: Bool {
        guard let socket, socket.hungUp else { return false }
        return StreamSocket.pendingError(of: socket.descriptor, "read") != nil
    }

    // MARK: Ends

    /// Sends the client its end of file.
    mutating func finish() {
        socket?.shutdownWrite()
        isFinished = true
    }

    /// Reads and drops the client's bytes after `finish`. Closing a socket with unread bytes resets the connection, and
    /// the client could lose the target's last bytes.
    ///
    /// - Parameter rounds: the most buffers to read in this turn.
    /// - Returns: whether the client has ended its side too.
    func drain(rounds: Int, on loop: isolated Loop) -> Bool {
        guard isFinished, let socket else { return false }
        let buffer = loop.buffers.borrow()
        defer { loop.buffers.giveBack(buffer) }
        for _ in 0..<rounds where socket.mayRead {
            switch socket.read(into: buffer.memory) {
            case .bytes: continue
            case .wouldBlock: return false
            case .endOfFile, .failed: return true
            }
        }
        if socket.mayRead { socket.callAgain(on: loop) }
        return false
    }

    /// - Parameter aborting: whether the client gets a reset.
    mutating func close(aborting: Bool, on loop: isolated Loop) {
        if aborting { socket?.abortOnClose() }
        socket?.close(on: loop)
        socket = nil
    }
}
