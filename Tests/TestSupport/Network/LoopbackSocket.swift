import CLinux
import Glibc
import SocketIO

/// A stream socket as a simple program uses it: blocking, each call with a limit against hangs. The calls block, so
/// a test makes them inside ``onThread(_:)``.
public final class LoopbackSocket: Sendable {
    public enum Family: Sendable, CaseIterable {
        case ipv4, ipv6
    }

    public let descriptor: FileDescriptor

    /// Takes a connected socket.
    ///
    /// - Parameter limit: the longest that one read or write may wait.
    public init(takingOwnership raw: CInt, limit: Duration = .seconds(30)) {
        descriptor = FileDescriptor(takingOwnership: raw)
        var time = timeval(tv_sec: Int(limit.components.seconds) * Patience.factor, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &time, size)
        setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &time, size)
    }

    /// Connects to a port of the loopback interface.
    ///
    /// - Parameters:
    ///   - receiveBuffer: SO_RCVBUF, for a reader that is soon full.
    ///   - owner: whose socket it is, where that is not this process's user; only root can choose.
    public static func connect(
        port: UInt16, family: Family = .ipv4, receiveBuffer: CInt? = nil, owner: uid_t? = nil
    ) throws -> LoopbackSocket {
        let domain = family == .ipv4 ? AF_INET : AF_INET6
        let made = LoopbackSocket(takingOwnership: try open(domain))
        if let owner, fchown(made.descriptor.raw, owner, gid_t.max) != 0 { throw SystemError("give a socket away") }
        if var size = receiveBuffer {
            setsockopt(made.descriptor.raw, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        }
        var on: CInt = 1
        setsockopt(made.descriptor.raw, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        let code = withLoopbackAddress(port: port, family: family) {
            Glibc.connect(made.descriptor.raw, $0, $1)
        }
        guard code == 0 else { throw SystemError("connect to port \(port)") }
        return made
    }

    /// Connects to a Unix socket.
    public static func connect(path: String) throws -> LoopbackSocket {
        let made = LoopbackSocket(takingOwnership: try open(AF_UNIX))
        guard withUnixAddress(path, { Glibc.connect(made.descriptor.raw, $0, $1) }) == 0 else {
            throw SystemError("connect to \(path)")
        }
        return made
    }

    static func open(_ domain: CInt) throws -> CInt {
        let raw = socket(domain, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw SystemError("socket") }
        return raw
    }

    /// Some bytes, at most `count`; none at the end of the stream.
    public func read(upTo count: Int = 1 << 16) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = try read(into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// Fills `buffer` from its start with what is there and returns how much that was; 0 at the end of the stream.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = recv(descriptor.raw, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            if errno == EAGAIN { throw TestFailure("nothing came to read") }
            if errno != EINTR { throw SystemError("read") }
        }
    }

    /// Exactly `count` bytes, or fewer where the stream ends first.
    public func read(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try read(upTo: count - bytes.count)
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    /// All bytes up to the end of the stream.
    public func readToEnd() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try read()
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    /// All bytes up to the end of the stream or the reset that cuts it off.
    public func readToEndOrReset() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            do {
                let more = try read()
                if more.isEmpty { return bytes }
                bytes += more
            } catch let error as SystemError where error.code == ECONNRESET {
                return bytes
            }
        }
    }

    /// Whether something, the end among it, came within so long.
    public func waitForInput(milliseconds: CInt) -> Bool {
        var waiting = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, milliseconds) > 0
    }

    public func readText(upTo count: Int = 1 << 16) throws -> String {
        String(decoding: try read(upTo: count), as: UTF8.self)
    }

    /// One line without its newline; what there is where the stream ends first.
    public func readLine() throws -> String {
        var bytes: [UInt8] = []
        while true {
            let byte = try read(upTo: 1)
            if byte.isEmpty || byte[0] == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes += byte
        }
    }

    public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    public func write(_ text: String) throws { try write(Array(text.utf8)) }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = send(descriptor.raw, rest.baseAddress, rest.count, CInt(MSG_NOSIGNAL))
            if count >= 0 {
                done += count
            } else if errno == EAGAIN {
                throw TestFailure("no room to write: \(done) of \(bytes.count) bytes were taken")
            } else if errno != EINTR {
                throw SystemError("write")
            }
        }
    }

    /// Sends the end of the stream; reading goes on.
    public func shutdownWrite() { shutdown(descriptor.raw, CInt(SHUT_WR)) }

    /// Ends both directions; the descriptor stays open for whoever waits on it.
    public func shutdownBoth() { shutdown(descriptor.raw, CInt(SHUT_RDWR)) }

    public func close() { descriptor.close() }

    /// Closes with a reset, as a program that was killed with unread data does.
    public func reset() {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor.raw, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        descriptor.close()
    }
}

/// The address of a loopback port, for calls that take a `sockaddr`.
public func withLoopbackAddress<Value>(
    port: UInt16, family: LoopbackSocket.Family, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
) -> Value {
    func pass<Address>(_ address: Address) -> Value {
        withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Address>.size)) }
        }
    }
    switch family {
    case .ipv4:
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return pass(address)
    case .ipv6:
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        address.sin6_addr = in6addr_loopback
        return pass(address)
    }
}

func withUnixAddress<Value>(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    return withUnsafePointer(to: address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}
