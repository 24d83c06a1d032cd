import CLinux
import Glibc
import SocketIO
import Synchronization

/// A server on a loopback port that the kernel chose, with one thread a connection: what stands for an instance's
/// service, or for an endpoint that misbehaves. Stops when the last reference goes.
public final class LoopbackServer: Sendable {
    public let port: UInt16
    public let family: LoopbackSocket.Family
    private let backlog: CInt
    private let core: Core

    /// Listens and runs `serve` for each connection; the connection is closed when it returns or throws.
    ///
    /// - Parameter backlog: as of listen(2).
    public init(
        family: LoopbackSocket.Family = .ipv4,
        backlog: CInt = 1024,
        _ serve: @escaping @Sendable (LoopbackSocket) throws -> Void
    ) throws {
        let listener = try Self.socket(family)
        port = try bindToFreePort(listener.raw, family)
        self.family = family
        self.backlog = backlog
        core = Core(serve)
        try core.listen(listener, backlog)
    }

    private static func socket(_ family: LoopbackSocket.Family) throws -> FileDescriptor {
        FileDescriptor(takingOwnership: try LoopbackSocket.open(family == .ipv4 ? AF_INET : AF_INET6))
    }

    deinit { stop() }

    /// How many connections were accepted so far.
    public var acceptedCount: Int { core.state.withLock { $0.accepted } }

    /// How many of them are still being served.
    public var openCount: Int { core.state.withLock { $0.open.count } }

    /// Stops listening and ends all connections.
    public func stop() { core.stop() }

    /// Refuses connections until ``listenAgain()``; those there are go on.
    public func refuse() { core.refuse() }

    /// Listens once more on the same port.
    public func listenAgain() throws {
        let listener = try Self.socket(family)
        listener.reuseAddress()
        guard withLoopbackAddress(port: port, family: family, { bind(listener.raw, $0, $1) }) == 0 else {
            throw SystemError("bind to port \(port) again")
        }
        try core.listen(listener, backlog)
    }

    private final class Core: Sendable {
        struct State {
            var listener: FileDescriptor?
            var accepted = 0
            var open: [Int: LoopbackSocket] = [:]
            var stopped = false
        }

        let state = Mutex(State())
        private let serve: @Sendable (LoopbackSocket) throws -> Void

        init(_ serve: @escaping @Sendable (LoopbackSocket) throws -> Void) { self.serve = serve }

        func listen(_ listener: FileDescriptor, _ backlog: CInt) throws {
            // Connections have it from their listener, and with it another may listen on the port that they use.
            listener.reuseAddress()
            guard Glibc.listen(listener.raw, backlog) == 0 else { throw SystemError("listen") }
            state.withLock { $0.listener = listener }
            startThread { self.acceptAll(from: listener) }
        }

        func refuse() {
            state.withLock { state in
                // At once, whoever still has the descriptor.
                if let listener = state.listener { shutdown(listener.raw, CInt(SHUT_RDWR)) }
                state.listener = nil
            }
        }

        private func acceptAll(from listener: FileDescriptor) {
            let isListening = { self.state.withLock { $0.listener === listener } }
            while true {
                var waiting = pollfd(fd: listener.raw, events: Int16(POLLIN), revents: 0)
                _ = poll(&waiting, 1, -1)
                // Close-on-exec from birth: a child that inherited it would keep the connection open.
                let raw = clinux_accept(listener.raw)
                if raw < 0 {
                    if [EAGAIN, EINTR, ECONNABORTED].contains(errno), isListening() { continue }
                    return
                }
                let connection = LoopbackSocket(takingOwnership: raw)
                try? connection.descriptor.setNonBlocking(false)
                let ticket: Int? = state.withLock { state in
                    if state.stopped { return nil }
                    state.accepted += 1
                    state.open[state.accepted] = connection
                    return state.accepted
                }
                guard let ticket else { return }
                startThread {
                    try? self.serve(connection)
                    self.state.withLock { _ = $0.open.removeValue(forKey: ticket) }
                    connection.close()
                }
            }
        }

        func stop() {
            refuse()
            state.withLock { state in
                state.stopped = true
                // Wakes the threads; each then closes its own socket.
                for connection in state.open.values { shutdown(connection.descriptor.raw, CInt(SHUT_RDWR)) }
            }
        }
    }
}

extension FileDescriptor {
    fileprivate func reuseAddress() {
        var yes: CInt = 1
        setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
    }
}

extension LoopbackServer {
    /// Sends back what it gets; passes on the end of the stream.
    public static func echo(family: LoopbackSocket.Family = .ipv4) throws -> LoopbackServer {
        try LoopbackServer(family: family) { connection in
            while true {
                let bytes = try connection.read(upTo: 1 << 18)
                if bytes.isEmpty { break }
                try connection.write(bytes)
            }
            connection.shutdownWrite()
        }
    }

    /// Speaks first, as an SSH server does, and then sends back what it gets.
    public static func greeter(_ greeting: String = "SSH-2.0-test\r\n") throws -> LoopbackServer {
        try LoopbackServer { connection in
            try connection.write(greeting)
            while true {
                let bytes = try connection.read(upTo: 1 << 18)
                if bytes.isEmpty { return }
                try connection.write(bytes)
            }
        }
    }

    /// Takes everything, answers nothing.
    public static func discard() throws -> LoopbackServer {
        try LoopbackServer { connection in while try !connection.read(upTo: 1 << 18).isEmpty {} }
    }

    /// Accepts, and neither reads nor writes until it is stopped or the other side has gone.
    public static func silent() throws -> LoopbackServer {
        try LoopbackServer { connection in
            // poll(2) and epoll(7) share this bit, which Swift's Glibc has for epoll alone.
            var waiting = pollfd(fd: connection.descriptor.raw, events: Int16(EPOLLRDHUP.rawValue), revents: 0)
            while poll(&waiting, 1, -1) < 0 && errno == EINTR {}
        }
    }

    /// Sends `count` bytes of `pattern`, then the end of the stream, and takes what comes meanwhile.
    public static func source(of pattern: Pattern, count: Int) throws -> LoopbackServer {
        try LoopbackServer { connection in
            try pattern.send(count, on: connection)
            connection.shutdownWrite()
            while try !connection.read().isEmpty {}
        }
    }
}

/// Binds to a port of the loopback interface that nobody uses, and tells which.
public func bindToFreePort(_ socket: CInt, _ family: LoopbackSocket.Family) throws -> UInt16 {
    guard withLoopbackAddress(port: 0, family: family, { bind(socket, $0, $1) }) == 0 else {
        throw SystemError("bind to a loopback port")
    }
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let code = withUnsafeMutablePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
    }
    guard code == 0 else { throw SystemError("getsockname") }
    // The port stands at the same place in both families' addresses.
    return withUnsafeBytes(of: storage) { UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) }
}

/// A port of the loopback interface that was free a moment ago and that nothing listens on.
public func freePort(family: LoopbackSocket.Family = .ipv4) throws -> UInt16 {
    let probe = FileDescriptor(takingOwnership: try LoopbackSocket.open(family == .ipv4 ? AF_INET : AF_INET6))
    return try bindToFreePort(probe.raw, family)
}
