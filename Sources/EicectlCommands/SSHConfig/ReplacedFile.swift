import Descriptors
import Glibc

/// A small file that is replaced as a whole: who reads it meanwhile sees the old one or the new one.
struct ReplacedFile {
    /// Where its content is, behind all links.
    let path: String
    /// Nil where there is no such file.
    let content: [UInt8]?
    private let mode: mode_t

    /// More than any ssh_config, in bytes.
    private static let longest = 4 << 20

    /// Reads `path`, following links: the file that a link names is replaced, and not the link.
    ///
    /// - Parameter mode: the permissions of a file that is made; one that exists keeps its own.
    init(_ path: String, mode: mode_t = 0o600) throws(SystemError) {
        guard let real = realpath(path) else {
            guard errno == ENOENT else { throw SystemError("find") }
            var status = stat()
            // A link to nothing has an end, but who made it had a reason that is not known here.
            guard lstat(path, &status) != 0 else { throw SystemError("follow the link", code: ENOENT) }
            (self.path, content, self.mode) = (path, nil, mode)
            return
        }
        self.path = real
        let raw = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard raw >= 0 else { throw SystemError("open") }
        let file = FileDescriptor(takingOwnership: raw)
        var status = stat()
        guard fstat(file.raw, &status) == 0 else { throw SystemError("look at") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw SystemError("open", code: status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
        }
        self.mode = status.st_mode & 0o7777
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(file.raw, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read") }
            guard count > 0 else { break }
            bytes += buffer[..<count]
            guard bytes.count <= Self.longest else { throw SystemError("read", code: EFBIG) }
        }
        content = bytes
    }

    /// Writes `bytes` beside the file, syncs them, and renames the result over it. Whatever goes wrong, the old file stays.
    func replace(with bytes: [UInt8]) throws(SystemError) {
        guard let fresh = mkstemp(beside: path) else { throw SystemError("write beside it") }
        let file = FileDescriptor(takingOwnership: fresh.descriptor)
        do throws(SystemError) {
            try write(bytes, to: file)
            guard fchmod(file.raw, mode) == 0 else { throw SystemError("set the permissions") }
            guard fsync(file.raw) == 0 else { throw SystemError("sync") }
            guard rename(fresh.path, path) == 0 else { throw SystemError("rename") }
        } catch {
            unlink(fresh.path)
            throw error
        }
    }

    private func write(_ bytes: [UInt8], to file: FileDescriptor) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file.raw, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write") }
            rest = rest.dropFirst(count)
        }
    }
}
