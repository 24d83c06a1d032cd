// A byte's way, step 5 of 5: the kernel's end. Before it: EndpointStream (4) on one side, Tunnel (2) on the other.

import CLinux
import Glibc

/// Whoever drives a ``StreamSocket``.
public protocol StreamSocketOwner: AnyObject {
    /// The socket can do something it could not do before, or was asked to be called again.
    func isReady(_ socket: StreamSocket, on loop: isolated Loop)
    /// The answer to ``StreamSocket/tellWhenQuiet(on:)``.
    func isQuiet(_ socket: StreamSocket, on loop: isolated Loop)
}

extension StreamSocketOwner {
    public func isQuiet(_ socket: StreamSocket, on loop: isolated Loop) {}
}

/// A connected, non-blocking stream socket, confined to one loop.
///
/// It remembers what edge-triggered readiness told it, so that an owner asks `mayRead` and `mayWrite` instead of the
/// kernel. Reading and writing stop where the owner stops: that is the backpressure.
public final class StreamSocket: ReadinessHandler {
    public enum ReadResult: Equatable, Sendable {
        case bytes(Int)
        case wouldBlock
        /// The peer sent its end of file.
        case endOfFile
        case failed(SystemError)
    }

    public enum WriteResult: Equatable, Sendable {
        case wrote(Int)
        case wouldBlock
        case failed(SystemError)
    }

    public let descriptor: FileDescriptor
    /// Not kept alive: the owner closes the socket before it goes.
    private weak var owner: (any StreamSocketOwner)?
    private var registration: Registration?
    /// On a Unix socket a read also ends early where descriptors were sent along, with more bytes behind them.
    private let shortReadMeansEmpty: Bool

    /// Reading might give something. True at first: what came before registration has no edge of its own.
    public private(set) var mayRead = true
    public private(set) var mayWrite = true
    /// The peer sent an end of file (or closed, or reset): known before all bytes are read.
    public private(set) var peerShutDown = false
    /// Both directions are gone: a reset, or the other end of a Unix socket closed.
    public private(set) var hungUp = false

    /// Takes the socket over, non-blocking from here on, and watches it.
    ///
    /// - Parameter owner: nil if ``give(to:)`` follows in the same turn of the loop.
    public init(_ descriptor: FileDescriptor, owner: (any StreamSocketOwner)?, on loop: isolated Loop)
        throws(SystemError)
    {
        self.descriptor = descriptor
        self.owner = owner
        shortReadMeansEmpty = SocketAddress.local(of: descriptor)?.family != .unix
        try descriptor.setNonBlocking()
        registration = try loop.register(descriptor, self)
    }

    public func isReady(_ readiness: Readiness, on loop: isolated Loop) {
        if !readiness.isDisjoint(with: [.readable, .peerShutDown, .hungUp, .failed]) { mayRead = true }
        if !readiness.isDisjoint(with: [.writable, .hungUp, .failed]) { mayWrite = true }
        if readiness.contains(.peerShutDown) { peerShutDown = true }
        if !readiness.isDisjoint(with: [.hungUp, .failed]) { hungUp = true }
        owner?.isReady(self, on: loop)
    }

    /// Reads once, into at least one byte of memory.
    public func read(into memory: UnsafeMutableRawBufferPointer) -> ReadResult {
        precondition(!memory.isEmpty, "a read of nothing looks like an end of file")
        while true {
            let count = recv(descriptor.raw, memory.baseAddress, memory.count, 0)
            if count > 0 {
                // Less than asked for means that the kernel had no more (epoll(7)); only an end of file, whose edge
                // may already be behind us, is still worth a look.
                if count < memory.count, shortReadMeansEmpty, !peerShutDown, !hungUp { mayRead = false }
                return .bytes(count)
            }
            if count == 0 { return .endOfFile }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                mayRead = false
                return .wouldBlock
            default: return .failed(SystemError("read"))
            }
        }
    }

    /// Looks at the bytes that the next reads will give, and leaves them there. Returns how many there are, at most as many as the
    /// memory holds; 0 also where there are none and at the end.
    public func peek(into memory: UnsafeMutableRawBufferPointer) -> Int {
        guard mayRead else { return 0 }
        return max(0, recv(descriptor.raw, memory.baseAddress, memory.count, CInt(MSG_PEEK)))
    }

    /// Writes once; less than all of it when the kernel's buffer is full.
    public func write(_ bytes: UnsafeRawBufferPointer) -> WriteResult {
        while true {
            let count = send(descriptor.raw, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            if count >= 0 {
                if count < bytes.count { mayWrite = false }
                return .wrote(count)
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                mayWrite = false
                return .wouldBlock
            default: return .failed(SystemError("write"))
            }
        }
    }

    /// Sends bytes and descriptors in one message. The descriptors stay open here.
    public func write(_ bytes: [UInt8], passing descriptors: [FileDescriptor]) -> WriteResult {
        let numbers = descriptors.map(\.raw)
        while true {
            let count = clinux_send_descriptors(descriptor.raw, bytes, bytes.count, numbers, numbers.count)
            if count >= 0 { return .wrote(count) }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                mayWrite = false
                return .wouldBlock
            default: return .failed(SystemError("pass a descriptor"))
            }
        }
    }

    /// Sends an end of file; what was written before is delivered first.
    public func shutdownWrite() { _ = shutdown(descriptor.raw, CInt(SHUT_WR)) }

    /// Makes the close a reset: the peer learns that the stream did not end as it should.
    public func abortOnClose() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(descriptor.raw, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
    }

    /// Bytes that were written and that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7) and unix(7)).
    public var unsentBytes: Int {
        var count: CInt = 0
        return ioctl(descriptor.raw, UInt(TIOCOUTQ), &count) == 0 ? Int(count) : 0
    }

    /// Asks to be called again in the loop's next turn: for an owner that stopped although it could go on.
    public func callAgain(on loop: isolated Loop) {
        if let registration { loop.callAgain(registration) }
    }

    /// Asks to be told when the loop has become quiet: for an owner with memory that it needs for traffic alone.
    public func tellWhenQuiet(on loop: isolated Loop) {
        if let registration { loop.tellWhenQuiet(registration) }
    }

    public func isQuiet(on loop: isolated Loop) { owner?.isQuiet(self, on: loop) }

    /// Closes the socket. Harmless the second time.
    public func close(on loop: isolated Loop) {
        detach(on: loop).close()
    }

    /// From now on `owner` is told of readiness. What was read stays read.
    public func give(to owner: any StreamSocketOwner) { self.owner = owner }

    /// Stops watching and hands the socket over, open. No call for it comes after this.
    @discardableResult
    public func detach(on loop: isolated Loop) -> FileDescriptor {
        if let registration {
            loop.deregister(registration)
            self.registration = nil
        }
        return descriptor
    }

    /// Watches the socket on another loop, after `detach`. What was known of it is forgotten: the new registration
    /// reports everything that is ready.
    public func attach(on loop: isolated Loop) throws(SystemError) {
        precondition(registration == nil, "a socket is watched by one loop")
        registration = try loop.register(descriptor, self)
        mayRead = true
        mayWrite = true
    }

    /// The error that an asynchronous connect or a reset left (SO_ERROR), which this takes away.
    public static func pendingError(of descriptor: FileDescriptor, _ operation: String) -> SystemError? {
        var code: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard getsockopt(descriptor.raw, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else {
            return SystemError(operation)
        }
        return code == 0 ? nil : SystemError(operation, code: code)
    }
}
