import Bounds
import Descriptors
import Failures
import Glibc

/// Reads small local files whole: profiles, token caches, tokens, certificates.
///
/// A file may be on a file system that hangs, or be a pipe that nothing writes to. So files are read on a pool of their own, one read of a
/// file at a time, and a caller waits no longer than ``patience``.
public enum LocalFile {
    /// How long a caller waits for a file. Less than the look-up of a target may take, so that the caller hears which file it was.
    public static let patience = Duration.seconds(5)
    /// How long a pipe may take. Less than ``patience``, so that the thread is free again by then.
    private static let patienceWithPipes = Duration.seconds(4)

    /// Bytes of the largest bundle of certificates. A system's has a quarter of a megabyte.
    public static let largestBundle = 16 << 20

    private struct Reading: Hashable, Sendable {
        let path: String
        let limit: Int
    }

    private static let readings = BlockingFlights<Reading, Result<[UInt8]?, Failure>>(pool: .files)
    private static let writings = BlockingFlights<String, Result<Void, Failure>>(pool: .files)

    /// The bytes of a file; nil where there is none, or a folder.
    /// - Throws: `.configuration` where it exists and cannot be read or exceeds `limit` bytes; `.deadline` where it hangs, or where the
    ///   calling task is cancelled.
    public static func read(_ path: String, limit: Int) async throws(Failure) -> [UInt8]? {
        let outcome = await readings.run(Reading(path: path, limit: limit), within: patience) {
            Result { () throws(Failure) in try readBlocking(path, limit: limit) }
        }
        return try value(of: outcome, "read", path).get()
    }

    /// What a wait for a file came to.
    public static func value<Value>(
        of outcome: BlockingFlights<some Hashable & Sendable, Value>.Outcome, _ verb: String, _ path: String
    ) throws(Failure) -> Value {
        switch outcome {
        case .done(let value): return value
        case .late:
            throw Failure(
                .deadline, "cannot \(verb) \(path)",
                why: "its file system did not answer within \(DurationText.format(patience))",
                hint: "timeout 5 stat \(path)")
        case .cancelled:
            throw Failure(.deadline, "cannot \(verb) \(path)", why: "it took too long and was given up")
        }
    }

    /// The same for a thread that may block.
    public static func readBlocking(_ path: String, limit: Int) throws(Failure) -> [UInt8]? {
        var descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        // Another program has a lease on it, which it is asked to give up (fcntl(2), F_SETLEASE): this thread may wait for that.
        if descriptor < 0, errno == EWOULDBLOCK { descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) }
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
        let isPlain = status.st_mode & S_IFMT == S_IFREG
        let deadline = ContinuousClock.now + patienceWithPipes
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            if !isPlain { try awaitBytes(descriptor, until: deadline, path) }
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN && !isPlain { continue }
                throw unreadable(path, errno)
            }
            bytes += chunk.prefix(count)
            guard bytes.count <= limit else {
                throw Failure(.configuration, "cannot use \(path)", why: "it is larger than \(size(limit))")
            }
        }
    }

    /// A pipe opened without blocking is at its end until a program opens it for writing; poll(2) waits for that, and read(2) does not.
    private static func awaitBytes(
        _ descriptor: Int32, until deadline: ContinuousClock.Instant, _ path: String
    ) throws(Failure) {
        while true {
            let left = deadline - .now
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let count = left > .zero ? poll(&waiting, 1, Int32(clamping: left.milliseconds)) : 0
            if count > 0 { return }
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw unreadable(path, errno) }
            throw Failure(
                .deadline, "cannot read \(path)",
                why: "it is a pipe, and no program wrote all of it within \(DurationText.format(patienceWithPipes))",
                hint: "ls -l \(path)")
        }
    }

    private static func size(_ bytes: Int) -> String {
        if bytes % (1 << 20) == 0 { return "\(bytes >> 20) MiB" }
        return bytes % (1 << 10) == 0 ? "\(bytes >> 10) KiB" : "\(bytes) bytes"
    }

    /// Writes a small file whole or not at all, readable by its owner alone: aside, then renamed. Its folder must exist.
    /// - Throws: `.stateNotSaved`; `.deadline` where its file system hangs, though it may be written later then.
    static func write(_ path: String, _ bytes: [UInt8]) async throws(Failure) {
        let outcome = await writings.run(path, within: patience) {
            Result { () throws(Failure) in try writeBlocking(path, bytes) }
        }
        try value(of: outcome, "write", path).get()
    }

    private static func writeBlocking(_ path: String, _ bytes: [UInt8]) throws(Failure) {
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
