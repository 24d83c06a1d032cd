import CLinux
import Glibc

extension FileDescriptor {
    /// A new socket: non-blocking, close-on-exec.
    public static func socket(_ domain: CInt, _ type: __socket_type = SOCK_STREAM) throws(SystemError)
        -> FileDescriptor
    {
        let flags = CInt(type.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let number = Glibc.socket(domain, flags, 0)
        guard number >= 0 else { throw SystemError("create a socket") }
        return FileDescriptor(takingOwnership: number)
    }

    /// Sends small writes at once (TCP_NODELAY): a keystroke must not wait for the answer to the one before it.
    /// Without effect on a socket that is not TCP.
    public func setNoDelay() {
        set(CInt(IPPROTO_TCP), TCP_NODELAY, 1)
    }

    /// Notices a dead path: the first probe after `idle` of silence, then one each `interval`, lost after `probes`
    /// without an answer; and `userTimeout` for bytes that nobody acknowledges (tcp(7), TCP_USER_TIMEOUT).
    public func setKeepAlive(idle: Duration, interval: Duration, probes: Int, userTimeout: Duration) {
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
        set(CInt(IPPROTO_TCP), TCP_KEEPIDLE, CInt(clamping: idle.components.seconds))
        set(CInt(IPPROTO_TCP), TCP_KEEPINTVL, CInt(clamping: interval.components.seconds))
        set(CInt(IPPROTO_TCP), TCP_KEEPCNT, CInt(clamping: probes))
        set(CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, CInt(clamping: userTimeout.components.seconds * 1_000))
    }

    /// The smoothed round trip to a TCP socket's peer, as the kernel measures it (tcp(7), TCP_INFO); nil for another
    /// socket, and before there is a measure.
    public var roundTrip: Duration? {
        var information = tcp_info()
        var length = socklen_t(MemoryLayout<tcp_info>.size)
        guard getsockopt(raw, CInt(IPPROTO_TCP), TCP_INFO, &information, &length) == 0, information.tcpi_rtt > 0 else {
            return nil
        }
        return .microseconds(Int64(information.tcpi_rtt))
    }

    /// Closes with a reset instead of an end of file (socket(7), SO_LINGER), which a client takes for no answer.
    public func closeWithReset() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(raw, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Options are wishes: a kernel that refuses one leaves a slower or less watchful socket, not a broken one.
    func set(_ level: CInt, _ option: CInt, _ value: CInt) {
        var value = value
        _ = setsockopt(raw, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
    }
}

/// Who is at the other end of a Unix socket, as the kernel recorded it when the connection was made (SO_PEERCRED).
public struct PeerCredentials: Hashable, Sendable {
    public let pid: Int32
    public let uid: UInt32
    public let gid: UInt32

    public init(of descriptor: FileDescriptor) throws(SystemError) {
        var credentials = clinux_peer_credentials()
        guard clinux_peer_credentials_of(descriptor.raw, &credentials) == 0 else {
            throw SystemError("read the peer's credentials")
        }
        pid = credentials.pid
        uid = credentials.uid
        gid = credentials.gid
    }
}
