// A byte's way, step 1 of 5: a local connection is accepted. Next: Tunnel (2), in Tunnels.

import CLinux
import Glibc

/// A listening socket on a loop: accepts whatever comes and hands it on. It ends only when it is closed: an accept that
/// fails, even for want of descriptors, makes it wait and try again. Whoever connects meanwhile waits in the kernel.
public final class Listener: ReadinessHandler {
    public let descriptor: FileDescriptor
    /// Where it listens, with the port that the kernel chose if 0 was asked for.
    public let address: SocketAddress
    private let onAccept: (FileDescriptor) -> Void
    private let onTrouble: (SystemError) -> Void
    private let reserve: () -> Int
    private var registration: Registration?
    private var retry: Deadline?
    private var backoff = Listener.acceptBackoff()

    /// The longest wait is well below the second within which clients that wait are served once that is possible again.
    static func acceptBackoff() -> RetryBackoff { RetryBackoff(from: .milliseconds(5), upTo: .milliseconds(250)) }

    /// Connections taken in one turn, so that a flood of them does not delay those that are open.
    private static let acceptsPerTurn = 64

    /// Watches a socket that already listens.
    ///
    /// - Parameters:
    ///   - reserve: how many descriptors have to stay free beside the next connection's own, for what will serve it and for all
    ///     else. While fewer are, none is accepted.
    ///   - onAccept: on the loop, takes each connection over, close-on-exec and non-blocking.
    ///   - onTrouble: on the loop, told why accepting pauses. Told once, until it is over.
    public init(
        adopting descriptor: FileDescriptor,
        on loop: isolated Loop,
        reserve: @escaping () -> Int = { 0 },
        onTrouble: @escaping (SystemError) -> Void,
        onAccept: @escaping (FileDescriptor) -> Void
    ) throws(SystemError) {
        guard let address = SocketAddress.local(of: descriptor) else { throw SystemError("adopt a listener") }
        try descriptor.setNonBlocking()
        self.descriptor = descriptor
        self.address = address
        self.onAccept = onAccept
        self.onTrouble = onTrouble
        self.reserve = reserve
        registration = try loop.register(descriptor, self)
    }

    /// A bound, listening socket.
    ///
    /// - Parameters:
    ///   - backlog: connections that may wait to be accepted; the kernel's own limit is `somaxconn`.
    ///   - old: sockets that are about to be closed, and that would keep this one from the port: all addresses and a single one
    ///     exclude each other, unless both sockets agree to share. Until they are closed connections to the single address come
    ///     to whoever has it.
    /// - Throws: the errno of bind(2) or listen(2): EADDRINUSE, EACCES, EADDRNOTAVAIL.
    public static func bind(
        to address: SocketAddress, besides old: [FileDescriptor] = [], backlog: CInt = 4_096
    ) throws(SystemError) -> FileDescriptor {
        let descriptor = try FileDescriptor.socket(address.domain)
        if address.family != .unix {
            // A listener that ends leaves connections in TIME_WAIT, which must not keep the next one from its port.
            descriptor.set(SOL_SOCKET, SO_REUSEADDR, 1)
        }
        if address.family == .ipv6 {
            // Its own family alone: the IPv4 address of the same port is a listener of its own.
            descriptor.set(CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1)
        }
        for socket in old.isEmpty ? [] : old + [descriptor] { socket.set(SOL_SOCKET, SO_REUSEPORT, 1) }
        try descriptor.bind(to: address)
        guard listen(descriptor.raw, backlog) == 0 else { throw SystemError("listen") }
        return descriptor
    }

    /// Whether a descriptor is a stream socket that listens.
    public static func isListening(_ descriptor: FileDescriptor) -> Bool {
        func option(_ name: CInt) -> CInt? {
            var value: CInt = 0
            var length = socklen_t(MemoryLayout<CInt>.size)
            return getsockopt(descriptor.raw, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
        }
        return option(SO_TYPE) == CInt(SOCK_STREAM.rawValue) && option(SO_ACCEPTCONN) == 1
    }

    public func isReady(_ readiness: Readiness, on loop: isolated Loop) {
        guard retry == nil else { return }
        acceptAll(on: loop)
    }

    private func acceptAll(on loop: isolated Loop) {
        for _ in 0..<Self.acceptsPerTurn {
            // The callback may have closed the listener.
            guard registration != nil else { return }
            guard hasRoom || !somebodyWaits else {
                return pause(because: SystemError("accept a connection", code: EMFILE), on: loop)
            }
            let number = clinux_accept(descriptor.raw)
            if number >= 0 {
                backoff.reset()
                onAccept(FileDescriptor(takingOwnership: number))
                continue
            }
            switch errno {
            case EAGAIN:
                backoff.reset()
                return
            // The connection was gone before it was accepted; errors of the new socket are reported here too (accept(2)).
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
                ENETUNREACH, EPERM:
                continue
            default:
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the backlog, so trying at once would spin.
                pause(because: SystemError("accept a connection"), on: loop)
                return
            }
        }
        if let registration { loop.callAgain(registration) }
    }

    /// Whether as many descriptors are free as are needed.
    private var hasRoom: Bool {
        let needed = reserve() + 1
        guard needed > 1 else { return true }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return FreeDescriptors.are(needed, below: Int(clamping: limit.rlim_cur))
    }

    private var somebodyWaits: Bool {
        var waiting = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, 0) > 0
    }

    private func pause(because error: SystemError, on loop: isolated Loop) {
        if backoff.isFresh { onTrouble(error) }
        retry = loop.schedule(after: backoff.next()) { [weak self] in
            guard let self else { return }
            retry = nil
            acceptAll(on: loop)
        }
    }

    /// Takes all connections that wait at present: before a close that is not to refuse them.
    public func takeWaiting(on loop: isolated Loop) {
        var left = 4_096
        while left > 0, registration != nil {
            let number = clinux_accept(descriptor.raw)
            guard number >= 0 else { return }
            left -= 1
            onAccept(FileDescriptor(takingOwnership: number))
        }
    }

    /// Stops listening and closes the socket; connections still in the backlog are refused by the kernel.
    public func close(on loop: isolated Loop) {
        if let registration { loop.deregister(registration) }
        registration = nil
        if let retry { loop.cancel(retry) }
        retry = nil
        descriptor.close()
    }
}

extension FileDescriptor {
    /// Binds to an address. The file of a Unix socket is for its owner alone from the first moment on: Linux makes it with the mode
    /// that the socket has, less the umask, which all threads share and which is left alone.
    ///
    /// - Throws: the errno of bind(2).
    public func bind(to address: SocketAddress) throws(SystemError) {
        if address.family == .unix, fchmod(raw, 0o600) != 0 { throw SystemError("protect a socket") }
        guard address.withSockaddr({ Glibc.bind(raw, $0, $1) }) == 0 else { throw SystemError("bind") }
    }
}
