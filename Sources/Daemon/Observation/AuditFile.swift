import AWS
import Glibc
import SocketIO

/// The audit on the disk: lines at the end of one file, which is set aside when it is full. All of it blocks.
///
/// The file is opened for each batch, so that one that somebody moved away is made anew.
struct AuditFile: Sendable {
    static let name = "audit.jsonl"

    let folder: String
    /// Bytes after which a file is set aside.
    let limit: Int
    /// Files that are kept, the present one among them: `audit.jsonl`, `audit.jsonl.1`, …, the last the oldest.
    let count: Int

    init(folder: String, limit: Int = 10 << 20, count: Int = 5) {
        self.folder = folder
        self.limit = limit
        self.count = count
    }

    /// In the folder of the daemon's state. Nil without a home.
    init?(environment: Environment) {
        let folder = StateFolder.path(stateHome: environment["XDG_STATE_HOME"], home: environment.homeDirectory)
        guard let folder else { return nil }
        self.init(folder: folder)
    }

    var path: String { "\(folder)/\(Self.name)" }

    /// Adds lines, each whole or not at all.
    ///
    /// - Returns: how many were added, from the first, and why not all of them were.
    func append(_ lines: [[UInt8]]) -> (written: Int, error: SystemError?) {
        var written = 0
        do throws(SystemError) {
            let folder = try StateFolder(opening: folder)
            while written < lines.count {
                let (file, size) = try open(in: folder)
                guard size == 0 || size + lines[written].count <= limit else {
                    file.close()
                    try rotate(in: folder)
                    continue
                }
                var batch: [UInt8] = []
                var end = written
                repeat {
                    batch += lines[end]
                    end += 1
                } while end < lines.count && size + batch.count + lines[end].count <= limit
                try write(batch, to: file, from: size)
                written = end
            }
            return (written, nil)
        } catch {
            return (written, error)
        }
    }

    private func open(in folder: StateFolder) throws(SystemError) -> (FileDescriptor, size: Int) {
        let flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
        let raw = openat(folder.descriptor.raw, Self.name, flags, 0o600)
        guard raw >= 0 else { throw SystemError("open \(path)") }
        let file = FileDescriptor(takingOwnership: raw)
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw SystemError("look at \(path)") }
        // Another name of it could be that of a file that means something.
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(), status.st_nlink <= 1 else {
            throw SystemError(
                "write to a file that belongs to another user, is none or has another name, too", code: EPERM)
        }
        // Who talked to what is nobody else's business, whatever mode the file was made with.
        if status.st_mode & 0o077 != 0, fchmod(raw, 0o600) != 0 { throw SystemError("protect \(path)") }
        return (file, Int(status.st_size))
    }

    /// All of `bytes`, or none: half a line would spoil the next one too.
    private func write(_ bytes: [UInt8], to file: FileDescriptor, from size: Int) throws(SystemError) {
        var rest = bytes[...]
        if size > 0 {
            // A daemon that was killed within a line left it without its end.
            var last: UInt8 = 0
            if pread(file.raw, &last, 1, size - 1) == 1, last != UInt8(ascii: "\n") {
                rest = ([UInt8(ascii: "\n")] + bytes)[...]
            }
        }
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file.raw, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let error = SystemError("write to \(path)", code: count == 0 ? ENOSPC : errno)
                _ = ftruncate(file.raw, size)
                throw error
            }
            rest = rest.dropFirst(count)
        }
    }

    private func rotate(in folder: StateFolder) throws(SystemError) {
        guard count > 1 else {
            guard unlinkat(folder.descriptor.raw, Self.name, 0) == 0 || errno == ENOENT else {
                throw SystemError("remove \(path)")
            }
            return
        }
        for number in stride(from: count - 1, through: 1, by: -1) {
            let from = number == 1 ? Self.name : "\(Self.name).\(number - 1)"
            let to = "\(Self.name).\(number)"
            guard renameat(folder.descriptor.raw, from, folder.descriptor.raw, to) == 0 || errno == ENOENT else {
                throw SystemError("rename \(from)")
            }
        }
    }
}
