import Failures
import Glibc
import SocketIO

/// Who is at a tunnel's local side, as far as the kernel tells: for the audit. Found out when the connection comes,
/// since later the process may be gone.
public struct ClientIdentity: Hashable, Sendable {
    /// As this process's user namespace sees it.
    public var uid: UInt32?
    /// Of a Unix socket's peer alone: a TCP socket does not tell.
    public var pid: Int32?
    /// The process's name (proc(5), /proc/pid/comm), which the process may have chosen itself.
    public var command: String?
    /// The path of its program, where that can be read: of one's own processes, unless they forbid it.
    public var executable: String?

    public init(uid: UInt32? = nil, pid: Int32? = nil, command: String? = nil, executable: String? = nil) {
        self.uid = uid
        self.pid = pid
        self.command = command
        self.executable = executable
    }

    /// Of a Unix socket's peer. Reads two entries of /proc, which is memory.
    public init(_ peer: PeerCredentials) {
        self.init(
            uid: peer.uid, pid: peer.pid, command: Self.command(of: peer.pid), executable: Self.executable(of: peer.pid)
        )
    }

    private static func command(of pid: Int32) -> String? {
        let raw = open("/proc/\(pid)/comm", O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        defer { close(raw) }
        // TASK_COMM_LEN is 16; threads of the kernel have longer names.
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(raw, &bytes, bytes.count)
        guard count > 0 else { return nil }
        let name = bytes[..<count].last == UInt8(ascii: "\n") ? bytes[..<(count - 1)] : bytes[..<count]
        return ForeignText.line(String(systemBytes: name))
    }

    private static func executable(of pid: Int32) -> String? {
        readlink("/proc/\(pid)/exe").map { ForeignText.line($0) }
    }
}
