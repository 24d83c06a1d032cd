import Bounds
import Descriptors
import Failures
import Glibc
import Synchronization

/// Reads AWS's shared files when they are asked for and parses them again only when they have changed: the daemon lives
/// for weeks, and what `aws configure` or a log-in writes must be seen at the next use.
///
/// A home folder may be on a network file system that hangs. So the files are looked at on a thread of the pool for files, one for all who
/// ask, and a caller waits no longer than ``LocalFile/patience``.
public final class SharedConfigFiles: Sendable {
    private struct Fingerprint: Hashable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
        var changeSeconds: Int
        var changeNanoseconds: Int
        var isPlain: Bool
    }

    private struct Cached {
        var fingerprints: [Fingerprint?]
        var generation: Int
        var result: Result<SharedConfig, Failure>
    }

    public let configPath: String
    public let credentialsPath: String
    /// Variables of a request's shell that name a file which must be there (``EnvironmentOverlay/files``).
    private let required: Set<String>
    private let cached = Mutex<Cached?>(nil)
    private let readings = BlockingFlights<SharedConfigFiles.Both, Loaded>(pool: .files)
    /// The file that is being looked at, for messages.
    private let current = Mutex<String?>(nil)
    /// Companies generate a profile for each of thousands of accounts: 10,000 take some 2 MiB. A larger file is a mistake (a device, a
    /// log).
    private static let largestFile = 64 << 20

    /// The one key: both files are read together.
    private struct Both: Hashable, Sendable {}

    private typealias Loaded = Result<(config: SharedConfig, generation: Int), Failure>

    /// The paths of `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/config` and
    /// `~/.aws/credentials`.
    public init(environment: Environment) {
        configPath = environment.expand(path: environment["AWS_CONFIG_FILE"] ?? "~/.aws/config")
        credentialsPath = environment.expand(
            path: environment["AWS_SHARED_CREDENTIALS_FILE"] ?? "~/.aws/credentials")
        required = environment.visible
    }

    /// The profiles as the files have them now.
    /// - Throws: `.malformedFile` with file and line where that concerns all profiles, `.configuration` where a file cannot be
    ///   read, `.deadline` where it hangs or the calling task is cancelled.
    public func load() async throws(Failure) -> SharedConfig { try await loadWithGeneration().config }

    /// The profiles, and a number that changes whenever the files do.
    func loadWithGeneration() async throws(Failure) -> (config: SharedConfig, generation: Int) {
        let outcome = await readings.run(Both(), within: LocalFile.patience) {
            defer { self.current.withLock { $0 = nil } }
            return Loaded { () throws(Failure) in try self.loadBlocking() }
        }
        return try LocalFile.value(of: outcome, "read", current.withLock { $0 } ?? configPath).get()
    }

    /// The file that callers wait for, where it has not been read for a second.
    public var hanging: String? { readings.underWay(for: .seconds(1)).isEmpty ? nil : current.withLock { $0 } }

    private func loadBlocking() throws(Failure) -> (config: SharedConfig, generation: Int) {
        var fingerprints = [fingerprint(of: configPath), fingerprint(of: credentialsPath)]
        let known = cached.withLock { $0 }
        if let known, known.fingerprints == fingerprints { return (try known.result.get(), known.generation) }
        let generation = (known?.generation ?? 0) + 1
        let result = Result { () throws(Failure) in
            try check(fingerprints[0], configPath, of: "AWS_CONFIG_FILE")
            try check(fingerprints[1], credentialsPath, of: "AWS_SHARED_CREDENTIALS_FILE")
            let config = try read(configPath)
            let credentials = try read(credentialsPath)
            readings.cannotHangAnyMore(Both())
            return SharedConfig(
                config: try parse(config, configPath), configPath: configPath,
                credentials: try parse(credentials, credentialsPath), credentialsPath: credentialsPath)
        }
        // To write to a pipe changes its times, and what was read of it cannot be read again.
        for (index, path) in [configPath, credentialsPath].enumerated() where fingerprints[index]?.isPlain == false {
            fingerprints[index] = fingerprint(of: path)
        }
        cached.withLock { $0 = Cached(fingerprints: fingerprints, generation: generation, result: result) }
        return (try result.get(), generation)
    }

    /// A file that the shell sees and the daemon does not (it may be in a sandbox) is no empty one.
    private func check(_ fingerprint: Fingerprint?, _ path: String, of variable: String) throws(Failure) {
        guard fingerprint == nil, required.contains(variable) else { return }
        throw Failure(
            .configuration, "eiced does not see \(path)", why: "\(variable) of your shell names it",
            hint:
                "check the file; in a sandbox: systemctl --user edit eiced.service, with BindReadOnlyPaths= of its folder"
        )
    }

    private func read(_ path: String) throws(Failure) -> [UInt8]? {
        current.withLock { $0 = path }
        return try LocalFile.readBlocking(path, limit: Self.largestFile)
    }

    private func parse(_ bytes: [UInt8]?, _ path: String) throws(Failure) -> ProfileFile? {
        guard let bytes else { return nil }
        do {
            return try ProfileFile(parsing: bytes)
        } catch {
            throw error.failure(in: path)
        }
    }

    private func fingerprint(of path: String) -> Fingerprint? {
        current.withLock { $0 = path }
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Fingerprint(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec,
            changeSeconds: status.st_ctim.tv_sec, changeNanoseconds: status.st_ctim.tv_nsec,
            isPlain: status.st_mode & S_IFMT == S_IFREG)
    }
}
