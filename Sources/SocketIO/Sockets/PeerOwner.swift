import CLinux
import Glibc

/// Whose socket is at the other end of a TCP connection within this host, asked of the kernel (sock_diag(7)).
public enum PeerOwner {
    /// The kernel's entry for a socket.
    public struct Entry: Hashable, Sendable {
        /// The owner as this process's user namespace sees it.
        public let uid: UInt32
        /// 0 once every descriptor of the socket is closed: then `uid` means nothing.
        public let inode: UInt32
        /// tcp_states.h: 1 ESTABLISHED, 4 FIN_WAIT1, 5 FIN_WAIT2, …
        public let state: UInt8

        /// Some process still holds the socket. A peer that has half-closed keeps its inode; one that closed has none.
        public var isHeld: Bool { inode != 0 }

        public init(uid: UInt32, inode: UInt32, state: UInt8) {
            self.uid = uid
            self.inode = inode
            self.state = state
        }
    }

    /// The peer's own socket, by the addresses of `descriptor` seen from the other side. Nil when the kernel has no
    /// such socket: the peer is gone, or on another host.
    ///
    /// - Throws: when the kernel cannot be asked (netlink forbidden by a sandbox) or does not tell (no tcp_diag).
    public static func ofPeer(of descriptor: FileDescriptor) throws(SystemError) -> Entry? {
        try ofPeer(of: descriptor, lookUp: entry(from:to:))
    }

    static func ofPeer(
        of descriptor: FileDescriptor,
        lookUp: (SocketAddress, SocketAddress) throws(SystemError) -> Entry?
    ) throws(SystemError) -> Entry? {
        guard let local = SocketAddress.local(of: descriptor), let peer = SocketAddress.peer(of: descriptor),
            local.family != .unix
        else { return nil }
        if let entry = try lookUp(peer, local) { return entry }
        // A kernel that has no tcp_diag says the same as of a socket that is gone. One that has it knows ours, as long as that is
        // connected.
        if try lookUp(local, peer) == nil, SocketAddress.peer(of: descriptor) != nil {
            throw SystemError("ask the kernel for a socket's owner", code: EOPNOTSUPP)
        }
        return nil
    }

    /// The TCP socket that is bound to `source` and connected to `destination`.
    static func entry(from source: SocketAddress, to destination: SocketAddress) throws(SystemError) -> Entry? {
        let netlink = Glibc.socket(
            AF_NETLINK, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), NETLINK_SOCK_DIAG)
        guard netlink >= 0 else { throw SystemError("ask the kernel for a socket's owner") }
        let socket = FileDescriptor(takingOwnership: netlink)
        defer { socket.close() }

        var query = Query(from: source, to: destination)
        let length = MemoryLayout<Query>.size
        guard send(socket.raw, &query, length, 0) == length else {
            throw SystemError("ask the kernel for a socket's owner")
        }
        var answer = [UInt8](repeating: 0, count: 1_024)
        let received = recv(socket.raw, &answer, answer.count, 0)
        guard received >= MemoryLayout<nlmsghdr>.size else {
            throw SystemError("ask the kernel for a socket's owner")
        }
        return try parse(Array(answer.prefix(received)))
    }

    private static func parse(_ answer: [UInt8]) throws(SystemError) -> Entry? {
        let headerLength = MemoryLayout<nlmsghdr>.size
        func body<T: BitwiseCopyable>(_ type: T.Type) -> T? {
            guard answer.count >= headerLength + MemoryLayout<T>.size else { return nil }
            return answer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: headerLength, as: type) }
        }
        let header = answer.withUnsafeBytes { $0.loadUnaligned(as: nlmsghdr.self) }
        if header.nlmsg_type == UInt16(NLMSG_ERROR) {
            guard let code = body(CInt.self).map({ -$0 }) else { return nil }
            // ENOENT: no such socket.
            if code == ENOENT { return nil }
            throw SystemError("ask the kernel for a socket's owner", code: code)
        }
        guard let message = body(inet_diag_msg.self) else { return nil }
        return Entry(uid: message.idiag_uid, inode: message.idiag_inode, state: message.idiag_state)
    }

    private struct Query {
        var header = nlmsghdr()
        var request = inet_diag_req_v2()

        init(from source: SocketAddress, to destination: SocketAddress) {
            header.nlmsg_len = UInt32(MemoryLayout<Query>.size)
            header.nlmsg_type = UInt16(SOCK_DIAG_BY_FAMILY)
            header.nlmsg_flags = UInt16(NLM_F_REQUEST)
            request.sdiag_family = UInt8(source.domain)
            request.sdiag_protocol = UInt8(IPPROTO_TCP)
            request.idiag_states = .max
            request.id.idiag_sport = source.port.bigEndian
            request.id.idiag_dport = destination.port.bigEndian
            withUnsafeMutableBytes(of: &request.id.idiag_src) { $0.copyBytes(from: source.ipBytes) }
            withUnsafeMutableBytes(of: &request.id.idiag_dst) { $0.copyBytes(from: destination.ipBytes) }
            // INET_DIAG_NOCOOKIE: the pair of addresses alone decides.
            request.id.idiag_cookie = (.max, .max)
        }
    }
}
