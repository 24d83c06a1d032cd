import Failures
import Glibc

/// Reads small local files whole: profiles, token caches, tokens.
enum LocalFile {
    /// The bytes of a file; nil where there is none.
    /// - Throws: `.configuration` where it exists and cannot be read, is no regular file or exceeds `limit` bytes.
    static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8]? {
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

    private static func unreadable(_ path: String, _ code: Int32) -> Failure {
        Failure(.configuration, "cannot read \(path)", why: String(cString: strerror(code)))
    }
}
