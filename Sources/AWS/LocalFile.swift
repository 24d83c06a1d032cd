import Failures
import Glibc

/// Reads small local files whole: profiles, token caches, tokens, certificates.
public enum LocalFile {
    /// The bytes of a file; nil where there is none, or a folder.
    /// - Throws: `.configuration` where it exists and cannot be read or exceeds `limit` bytes.
    public static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else {
            // The AWS CLI takes a path through a missing folder as a missing file, too.
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw unreadable(path, errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
        if status.st_mode & S_IFMT == S_IFDIR { return nil }
        // Pipes are allowed: shells pass secrets as /dev/fd/63.
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw unreadable(path, errno)
            }
            bytes += chunk.prefix(count)
            guard bytes.count <= limit else {
                throw Failure(.configuration, "cannot use \(path)", why: "it is larger than \(limit) bytes")
            }
        }
    }

    /// Writes a small file whole or not at all, readable by its owner alone: aside, then renamed. Its folder must exist.
    static func write(_ path: String, _ bytes: [UInt8]) throws(Failure) {
        let aside = "\(path).\(getpid())-\(UInt32.random(in: .min ... .max))"
        let descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw unwritable(path, errno) }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0 { break }
            written += count
        }
        let code = errno
        close(descriptor)
        guard written == bytes.count, rename(aside, path) == 0 else {
            let failure = unwritable(path, written == bytes.count ? errno : code)
            unlink(aside)
            throw failure
        }
    }

    private static func unwritable(_ path: String, _ code: Int32) -> Failure {
        Failure(.stateNotSaved, "cannot write \(path)", why: String(cString: strerror(code)))
    }

    private static func unreadable(_ path: String, _ code: Int32) -> Failure {
        Failure(.configuration, "cannot read \(path)", why: String(cString: strerror(code)))
    }
}
