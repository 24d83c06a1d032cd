import Failures
import Glibc
import SocketIO

/// How changes reach the disk: fsync(2), which a test replaces to let a disk fail. Each returns 0, or -1 with `errno`.
struct DiskSync: Sendable {
    /// Writes the content of a file.
    var file: @Sendable (_ descriptor: CInt) -> CInt = { fsync($0) }
    /// Writes the entries of a folder.
    var folder: @Sendable (_ descriptor: CInt) -> CInt = { fsync($0) }
}

/// The folder in which the daemon keeps what must outlast it. All of it blocks on the file system: not for a loop's queue.
///
/// Files are reached through the folder's descriptor, so that nobody can put another folder in its place meanwhile.
struct StateFolder: Sendable {
    let path: String
    let descriptor: FileDescriptor
    private let sync: DiskSync

    /// Bytes of the longest file that is read, and so of the longest that is written.
    static let longestFile = 8 << 20

    /// `$XDG_STATE_HOME/eiced`, or `~/.local/state/eiced` without that variable (XDG base directory specification; a
    /// path that is not absolute is to be ignored). Nil without a home.
    static func path(stateHome: String?, home: String?) -> String? {
        if let stateHome, stateHome.hasPrefix("/") { return "\(stateHome)/eiced" }
        if let home, home.hasPrefix("/") { return "\(home)/.local/state/eiced" }
        return nil
    }

    /// Opens the folder, and makes it where it is missing: mode 0700, with its parents.
    ///
    /// - Throws: when it cannot be made, is not this user's, or is a symbolic link that somebody else planted.
    init(opening path: String, sync: DiskSync = DiskSync()) throws(SystemError) {
        self.path = path
        self.sync = sync
        try Self.makeFolders(path)
        var status = stat()
        guard lstat(path, &status) == 0 else { throw SystemError("look at the folder") }
        // One's own link, to another disk for example, is as good as a folder.
        let isTrustedLink = status.st_mode & S_IFMT == S_IFLNK && (status.st_uid == geteuid() || status.st_uid == 0)
        let raw = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (isTrustedLink ? 0 : O_NOFOLLOW))
        guard raw >= 0 else { throw SystemError("open the folder") }
        descriptor = FileDescriptor(takingOwnership: raw)
        guard fstat(raw, &status) == 0 else { throw SystemError("look at the folder") }
        guard status.st_uid == geteuid() else { throw SystemError("use a folder of another user", code: EPERM) }
        if status.st_mode & 0o077 != 0, fchmod(raw, 0o700) != 0 {
            throw SystemError("take the folder's permissions from others")
        }
    }

    /// Whether it was removed since.
    var isGone: Bool {
        var status = stat()
        return fstat(descriptor.raw, &status) == 0 && status.st_nlink == 0
    }

    private static func makeFolders(_ path: String) throws(SystemError) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash != path.startIndex else {
            throw SystemError("make the folder")
        }
        try makeFolders(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw SystemError("make the folder") }
    }

    // MARK: Files

    /// What stands under a name.
    enum Content: Equatable {
        case nothing
        case bytes([UInt8])
        /// Something that this program did not write, in words.
        case foreign(String)
    }

    func read(_ name: String) throws(SystemError) -> Content {
        // Not blocking, so that a FIFO by that name cannot hold us up; for a plain file it makes no difference.
        let raw = openat(descriptor.raw, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
        guard raw >= 0 else {
            switch errno {
            case ENOENT: return .nothing
            case ELOOP: return .foreign("it is a symbolic link")
            case ENXIO: return .foreign("it is no plain file")
            default: throw SystemError("open")
            }
        }
        let file = FileDescriptor(takingOwnership: raw)
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw SystemError("look at it") }
        guard status.st_mode & S_IFMT == S_IFREG else { return .foreign("it is no plain file") }
        guard status.st_uid == geteuid() else { return .foreign("it belongs to another user") }
        guard status.st_size <= Self.longestFile else {
            return .foreign("it is longer than \(Self.longestFile >> 20) MiB")
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= Self.longestFile {
            let count = Glibc.read(file.raw, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read") }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return .bytes(bytes)
    }

    func contains(_ name: String) -> Bool {
        var status = stat()
        return fstatat(descriptor.raw, name, &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT
    }

    /// Puts `bytes` under `name`: as a whole and on the disk when this returns, or not at all when it throws. Mode 0600.
    ///
    /// One caller at a time for each name.
    func replace(_ name: String, with bytes: [UInt8]) throws(SystemError) {
        // It would not be read again.
        guard bytes.count <= Self.longestFile else { throw SystemError("write", code: EFBIG) }
        let fresh = "\(name).new"
        // A leftover of a daemon that was killed.
        if unlinkat(descriptor.raw, fresh, 0) != 0, errno != ENOENT { throw SystemError("remove \(fresh)") }
        do throws(SystemError) {
            try write(bytes, to: fresh)
            guard renameat(descriptor.raw, fresh, descriptor.raw, name) == 0 else { throw SystemError("rename") }
        } catch {
            unlinkat(descriptor.raw, fresh, 0)
            throw error
        }
        try syncEntries()
    }

    private func write(_ bytes: [UInt8], to name: String) throws(SystemError) {
        let raw = openat(descriptor.raw, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw SystemError("create") }
        let file = FileDescriptor(takingOwnership: raw)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file.raw, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write", code: count == 0 ? ENOSPC : errno) }
            rest = rest.dropFirst(count)
        }
        // A rename may reach the disk before the bytes do.
        guard sync.file(raw) == 0 else { throw SystemError("sync") }
        // Some network file systems tell of a full disk only here.
        guard Glibc.close(file.take()) == 0 else { throw SystemError("close") }
    }

    /// The folder's own entries to the disk.
    private func syncEntries() throws(SystemError) {
        // Not every file system can do this for a folder; those that cannot keep its entries in order by themselves.
        guard sync.folder(descriptor.raw) == 0 || errno == EINVAL || errno == ENOTSUP else { throw SystemError("sync") }
    }

    /// Removes `name`, on the disk as well when this returns. A name that is missing is no error.
    func remove(_ name: String) throws(SystemError) {
        guard unlinkat(descriptor.raw, name, 0) == 0 || errno == ENOENT else { throw SystemError("remove \(name)") }
        try syncEntries()
    }

    /// Gives what stands under `name` another one, which tells the time, and which is returned. Nothing is overwritten.
    func setAside(_ name: String, at time: String) throws(SystemError) -> String {
        let plain = "\(name).damaged-\(time)"
        var other = plain
        var number = 2
        while contains(other) {
            other = "\(plain)-\(number)"
            number += 1
        }
        guard renameat(descriptor.raw, name, descriptor.raw, other) == 0 else { throw SystemError("rename") }
        try syncEntries()
        return other
    }

    /// Locks `name`, an empty file, for as long as the descriptor is open. Blocks for a moment where somebody holds it.
    ///
    /// - Returns: nil when another process holds it.
    func lock(_ name: String) throws(SystemError) -> FileDescriptor? {
        let flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
        var raw = openat(descriptor.raw, name, O_RDWR | O_CREAT | flags, 0o600)
        // Where nothing can be written, what is there can still be read, and by one.
        if raw < 0, errno == EROFS { raw = openat(descriptor.raw, name, O_RDONLY | flags) }
        guard raw >= 0 else { throw SystemError("open \(name)") }
        let file = FileDescriptor(takingOwnership: raw)
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw SystemError("look at \(name)") }
        // Whoever else could open it could hold it for ever.
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() else {
            throw SystemError("lock \(name), which belongs to another user or is no file", code: EPERM)
        }
        do throws(SystemError) {
            return try file.lock() ? file : nil
        } catch {
            throw SystemError("lock \(name)", code: error.code)
        }
    }
}
