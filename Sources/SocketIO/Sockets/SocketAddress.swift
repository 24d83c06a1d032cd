import CLinux
import Glibc

/// Where a socket listens or connects: an IPv4 or IPv6 address with its port, or the path of a Unix socket.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Family: Hashable, Sendable { case ipv4, ipv6, unix }

    private var storage: [UInt8]
    public let family: Family

    /// Copies an address as the kernel gave it. Nil for a family that is none of the three.
    public init?(_ address: UnsafePointer<sockaddr>, length: socklen_t) {
        switch Int32(address.pointee.sa_family) {
        case AF_INET: family = .ipv4
        case AF_INET6: family = .ipv6
        case AF_UNIX: family = .unix
        default: return nil
        }
        storage = Array(UnsafeRawBufferPointer(start: address, count: Int(length)))
    }

    /// An address in its text form: "127.0.0.1", "::1", "fe80::1%eth0" is not taken. Nil when it is no IP address.
    public init?(ip: String, port: UInt16) {
        var v4 = in_addr()
        var v6 = in6_addr()
        if inet_pton(AF_INET, ip, &v4) == 1 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr = v4
            family = .ipv4
            storage = withUnsafeBytes(of: &address) { Array($0) }
        } else if inet_pton(AF_INET6, ip, &v6) == 1 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = v6
            family = .ipv6
            storage = withUnsafeBytes(of: &address) { Array($0) }
        } else {
            return nil
        }
    }

    /// The longest path that fits `sockaddr_un`, in bytes: 107, and the closing NUL.
    public static let longestUnixPath = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// Nil when the path is empty, holds a NUL, or is longer than ``longestUnixPath`` bytes.
    public init?(unixPath path: String) {
        let bytes = path.systemBytes
        guard !bytes.isEmpty, bytes.count <= Self.longestUnixPath, !bytes.contains(0) else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + bytes.count + 1
        family = .unix
        storage = withUnsafeBytes(of: &address) { Array($0.prefix(length)) }
    }

    /// The port; 0 for a Unix socket.
    public var port: UInt16 {
        switch family {
        case .ipv4, .ipv6: UInt16(storage[2]) << 8 | UInt16(storage[3])  // sin_port and sin6_port stand alike
        case .unix: 0
        }
    }

    /// Whether one of the two keeps the other from listening: they are the same, or one is on all addresses of the family.
    public func excludes(_ other: SocketAddress) -> Bool {
        self == other || family != .unix && family == other.family && port == other.port && (isAny || other.isAny)
    }

    /// Whether it is the address of all interfaces of its family.
    public var isAny: Bool { host == "0.0.0.0" || host == "::" }

    /// The same address with another port.
    public func with(port: UInt16) -> SocketAddress {
        guard family != .unix else { return self }
        var copy = self
        copy.storage[2] = UInt8(port >> 8)
        copy.storage[3] = UInt8(port & 255)
        return copy
    }

    /// The address without its port: "127.0.0.1", "::1", or the path.
    public var host: String {
        switch family {
        case .ipv4: text(AF_INET, at: MemoryLayout<sockaddr_in>.offset(of: \.sin_addr)!)
        case .ipv6: text(AF_INET6, at: MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!)
        case .unix: unixPath
        }
    }

    /// Whether only this host can reach it: 127.0.0.0/8, ::1, or a Unix socket.
    public var isLoopback: Bool {
        switch family {
        case .ipv4: storage[4] == 127
        case .ipv6: storage[8..<23].allSatisfy { $0 == 0 } && storage[23] == 1
        case .unix: true
        }
    }

    /// Whether it is an address of this host: what bind(2) takes. Where that cannot be found out (no descriptor is left) it
    /// counts as one, since more is asked of those.
    public var isOfThisHost: Bool {
        if isLoopback { return true }
        guard let probe = try? FileDescriptor.socket(domain, SOCK_DGRAM) else { return true }
        defer { probe.close() }
        return with(port: 0).withSockaddr { bind(probe.raw, $0, $1) } == 0 || errno != EADDRNOTAVAIL
    }

    public var description: String {
        switch family {
        case .ipv4: "\(host):\(port)"
        case .ipv6: "[\(host)]:\(port)"
        case .unix: host
        }
    }

    /// The raw bytes of the IP address, 4 or 16, in network order; empty for a Unix socket.
    public var ipBytes: [UInt8] {
        switch family {
        case .ipv4: Array(storage[4..<8])
        case .ipv6: Array(storage[8..<24])
        case .unix: []
        }
    }

    /// Calls `body` with the address as system calls take it.
    public func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        storage.withUnsafeBytes { bytes in
            // sockaddr's own alignment is 2 and an array's storage is aligned to 16.
            body(bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
    }

    /// The protocol family for socket(2).
    public var domain: CInt {
        switch family {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// The address a socket is bound to.
    public static func local(of descriptor: FileDescriptor) -> SocketAddress? {
        read(descriptor) { getsockname($0, $1, $2) }
    }

    /// The address of a connected socket's peer.
    public static func peer(of descriptor: FileDescriptor) -> SocketAddress? {
        read(descriptor) { getpeername($0, $1, $2) }
    }

    private static func read(
        _ descriptor: FileDescriptor,
        _ call: (CInt, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard call(descriptor.raw, address, &length) == 0 else { return nil }
                return SocketAddress(address, length: length)
            }
        }
    }

    private func text(_ family: CInt, at offset: Int) -> String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        storage.withUnsafeBytes { bytes in
            _ = inet_ntop(family, bytes.baseAddress! + offset, &buffer, socklen_t(buffer.count))
        }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private var unixPath: String {
        let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)!
        guard storage.count > start else { return "" }
        return String(systemBytes: storage[start...].prefix { $0 != 0 })
    }
}
