import ControlProtocol
import Failures
import Glibc
import SocketIO

/// The control socket's listening end, and the claim to its path.
public final class ControlListener {
    public private(set) var descriptor: FileDescriptor
    public let path: String
    /// Held for as long as the path is ours; nil for an adopted socket, whose path is somebody else's.
    public private(set) var lock: FileDescriptor?
    private var file: FileIdentity?

    /// Which file a path meant when it was bound.
    private struct FileIdentity: Equatable {
        let device: dev_t
        let inode: ino_t

        init?(_ path: String) {
            var status = stat()
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
            device = status.st_dev
            inode = status.st_ino
        }

        init?(_ descriptor: FileDescriptor) {
            var status = stat()
            guard fstat(descriptor.raw, &status) == 0 else { return nil }
            device = status.st_dev
            inode = status.st_ino
        }

        init?(of file: String) {
            var status = stat()
            guard lstat(file, &status) == 0 else { return nil }
            device = status.st_dev
            inode = status.st_ino
        }
    }

    private init(_ descriptor: FileDescriptor, path: String, lock: FileDescriptor?, file: FileIdentity?) {
        self.descriptor = descriptor
        self.path = path
        self.lock = lock
        self.file = file
    }

    /// A listening socket that the service manager passed. Its file is never removed.
    public static func adopting(_ descriptor: FileDescriptor) throws(Failure) -> ControlListener {
        guard let address = SocketAddress.local(of: descriptor), address.family == .unix,
            Listener.isListening(descriptor)
        else {
            throw Failure(
                .configuration, "cannot use the control socket that was passed", why: "it is no listening Unix socket",
                hint: "compare eiced.socket with the one that eiced came with")
        }
        return ControlListener(descriptor, path: address.host, lock: nil, file: nil)
    }

    /// Goes on with a socket that an earlier daemon bound at `path` and that was open ever since.
    ///
    /// - Parameter lock: the claim to its path, where that was passed with it.
    /// - Returns: nil where it is another one, or nobody can reach it since its file is gone.
    /// - Throws: `.daemonRunning` when another process has the path.
    public static func resuming(
        _ descriptor: FileDescriptor, at path: String, lock: FileDescriptor? = nil
    ) throws(Failure) -> ControlListener? {
        guard SocketAddress.local(of: descriptor)?.host == path, Listener.isListening(descriptor),
            let file = FileIdentity(path)
        else { return nil }
        let claim: FileDescriptor
        if let lock { claim = lock } else { claim = try takeLock(path) }
        return ControlListener(descriptor, path: path, lock: claim, file: file)
    }

    /// Whether clients that use the path reach this socket. An adopted one is taken to be reachable.
    public var isReachable: Bool { file == nil || file == FileIdentity(path) }

    /// Listens on the path again, where somebody removed the socket's file or its folder. The old descriptor stays open, and is
    /// the caller's to close.
    ///
    /// - Throws: as ``binding(_:)``; then all is as it was.
    func rebind() throws(Failure) {
        guard let lock else { return }
        // The lock counts only as long as another daemon would open the same file.
        let isClaimed = FileIdentity(of: path + ".lock") == FileIdentity(lock)
        let fresh = try Self.binding(path, lock: isClaimed ? lock : nil)
        if let claim = fresh.lock, !isClaimed {
            self.lock = claim
            lock.close()
        }
        descriptor = fresh.descriptor
        file = fresh.file
    }

    /// Notes this process as the one that serves, for the message that another one would get.
    public func sign() {
        if let lock { Self.sign(lock) }
    }

    private static func sign(_ lock: FileDescriptor) {
        let text = Array("\(getpid())\n".utf8)
        _ = ftruncate(lock.raw, 0)
        _ = pwrite(lock.raw, text, text.count, 0)
    }

    /// Binds `path`: mode 0600, in a folder that nobody else can write to and that is made (0700) if it is missing.
    ///
    /// Whether a file that is there is stale or in use is decided under a lock on `path.lock`, which is held from then
    /// on: of two daemons that start at once, one gets it.
    ///
    /// - Throws: `.daemonRunning` when another process has the socket; `.cannotListen`, `.configuration`.
    public static func binding(_ path: String) throws(Failure) -> ControlListener { try binding(path, lock: nil) }

    /// - Parameter lock: the claim to the path, where it is ours already.
    private static func binding(_ path: String, lock: FileDescriptor?) throws(Failure) -> ControlListener {
        guard let address = SocketAddress(unixPath: path) else {
            throw Failure(
                .configuration, "cannot listen on \(path)",
                why: "a Unix socket's path has at most \(SocketAddress.longestUnixPath) bytes",
                hint: "choose a shorter path with --socket or EICED_SOCKET")
        }
        try makeFolder(of: path)
        let claim: FileDescriptor
        if let lock { claim = lock } else { claim = try takeLock(path) }
        try removeStale(path, address)
        do throws(SystemError) {
            let socket = try FileDescriptor.socket(address.domain)
            try socket.bind(to: address)
            guard listen(socket.raw, 128) == 0 else { throw SystemError("listen") }
            return ControlListener(socket, path: path, lock: claim, file: FileIdentity(path))
        } catch {
            throw Failure(.cannotListen, "cannot listen on \(path)", why: error.reason)
        }
    }

    /// Removes the socket's file if it is still the one that was bound here.
    func removeFile() {
        guard let file, FileIdentity(path) == file else { return }
        unlink(path)
    }

    /// Lets another daemon have the path. The lock's file stays: removing it would be a race.
    func unlock() { lock?.close() }

    // MARK: Steps

    private static func makeFolder(of path: String) throws(Failure) {
        let folder = SocketFolder.of(path)
        if mkdir(folder, 0o700) != 0 && errno != EEXIST {
            throw Failure(
                .cannotListen, "cannot make the folder \(folder)", why: SystemError("mkdir").reason,
                hint: "choose another path with --socket or EICED_SOCKET")
        }
        do throws(SocketFolder.Flaw) {
            try SocketFolder.check(folder)
        } catch {
            switch error {
            case .missing, .noFolder:
                throw Failure(.cannotListen, "cannot listen on \(path)", why: "\(folder): \(error.reason)")
            case .foreignLink, .shared:
                throw Failure(
                    .configuration, "will not put the control socket into \(folder)", why: error.reason,
                    hint: "choose a folder of your own with --socket or EICED_SOCKET")
            }
        }
    }

    private static func takeLock(_ path: String) throws(Failure) -> FileDescriptor {
        let name = path + ".lock"
        let number = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard number >= 0 else {
            throw Failure(.cannotListen, "cannot open \(name)", why: SystemError("open").reason)
        }
        let lock = FileDescriptor(takingOwnership: number)
        let isOurs: Bool
        do throws(SystemError) {
            isOurs = try lock.lock()
        } catch {
            throw Failure(.cannotListen, "cannot lock \(name)", why: error.reason)
        }
        guard isOurs else { throw running(path, pid: holder(lock)) }
        sign(lock)
        return lock
    }

    /// Whether a process has the claim to the path now.
    public static func isClaimed(_ path: String) -> Bool {
        let number = open(path + ".lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard number >= 0 else { return false }
        defer { close(number) }
        // Ends with the descriptor, where it is granted.
        return flock(number, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    private static func holder(_ lock: FileDescriptor) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(lock.raw, &bytes, bytes.count, 0)
        return Int32(String(decoding: bytes.prefix(max(0, count)).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    /// Under the lock: a file on which nobody answers is left from a daemon that died.
    private static func removeStale(_ path: String, _ address: SocketAddress) throws(Failure) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw Failure(
                .cannotListen, "cannot listen on \(path)", why: "there is a file that is no socket",
                hint: "remove it, or choose another path with --socket or EICED_SOCKET")
        }
        let probe: FileDescriptor
        do throws(SystemError) {
            probe = try FileDescriptor.socket(address.domain)
        } catch {
            throw Failure(.cannotListen, "cannot listen on \(path)", why: error.reason)
        }
        defer { probe.close() }
        if address.withSockaddr({ connect(probe.raw, $0, $1) }) == 0 {
            throw running(path, pid: (try? PeerCredentials(of: probe))?.pid)
        }
        let error = SystemError("connect")
        switch error.code {
        case ECONNREFUSED: unlink(path)
        case ENOENT: break
        // Somebody listens, and is busy.
        case EAGAIN: throw running(path, pid: nil)
        default: throw Failure(.cannotListen, "cannot listen on \(path)", why: error.reason)
        }
    }

    private static func running(_ path: String, pid: Int32?) -> Failure {
        Failure(
            .daemonRunning, "another eiced\(pid.map { " (pid \($0))" } ?? "") has \(path)",
            hint: "eicectl status shows it; eicectl shutdown ends it")
    }
}
