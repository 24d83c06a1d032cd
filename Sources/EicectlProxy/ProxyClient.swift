import CLinux
import Descriptors
import Glibc

/// How the program that started `proxy` takes the tunnel.
enum ProxyClient: Equatable {
    /// OpenSSH with ProxyUseFdpass: it takes a descriptor, and never reads from or writes to what it gave as stdin and stdout.
    case takesDescriptor
    /// Everything else: it reads and writes.
    case reads
    /// The system does not say: see ``TunnelOffer``.
    case unknown

    /// A message of `ssh_proxy_fdpass_connect()` in sshconnect.c, for the case that no descriptor comes back. It is in every
    /// OpenSSH that has ProxyUseFdpass (6.5 and later), and in no other program.
    private static let mark = Array("proxy dialer did not pass back a connection".utf8)
    /// In bytes; `ssh` has one to two million.
    private static let largestProgram = 32 << 20

    /// - Parameters:
    ///   - input: stdin of `proxy`.
    ///   - output: its stdout.
    static func current(_ input: CInt = STDIN_FILENO, _ output: CInt = STDOUT_FILENO) -> ProxyClient {
        // With ProxyUseFdpass both are one end of a socket pair; without it they are two pipes. But libssh (wezterm, KDE,
        // ansible-pylibssh), which does not know ProxyUseFdpass, and `socat EXEC:` give one end of a pair as well, to read from
        // it. So it depends on the program that made the pair, whatever its name is.
        guard isOneUnixStream(input, output) else { return .reads }
        var maker = clinux_peer_credentials()
        // 0: it is in another namespace of processes (pid_namespaces(7)).
        guard clinux_peer_credentials_of(input, &maker) == 0, maker.pid > 0 else { return .unknown }
        return program("/proc/\(maker.pid)/exe")
    }

    /// - Parameter path: the program's file.
    static func program(_ path: String) -> ProxyClient {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return .unknown }
        defer { close(raw) }
        switch clinux_file_contains(raw, mark, mark.count, largestProgram) {
        case 1: return .takesDescriptor
        case 0: return .reads
        default: return errno == EFBIG ? .reads : .unknown
        }
    }

    static func isOneUnixStream(_ first: CInt, _ second: CInt) -> Bool {
        var one = stat()
        var other = stat()
        guard fstat(first, &one) == 0, fstat(second, &other) == 0, one.st_mode & S_IFMT == S_IFSOCK,
            one.st_dev == other.st_dev, one.st_ino == other.st_ino
        else { return false }
        return option(SO_DOMAIN, of: first) == AF_UNIX && option(SO_TYPE, of: first) == CInt(SOCK_STREAM.rawValue)
    }

    private static func option(_ name: CInt, of descriptor: CInt) -> CInt? {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }
}
