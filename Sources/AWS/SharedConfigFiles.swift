import Failures
import Glibc
import Synchronization

/// Reads AWS's shared files when they are asked for and parses them again only when they have changed: the daemon lives
/// for weeks, and what `aws configure` or a log-in writes must be seen at the next use.
///
/// The files are small and local; stat and read are done where they are asked for, on the Swift concurrency pool, which
/// costs microseconds. A home folder on a hung network file system would hold one such thread.
public final class SharedConfigFiles: Sendable {
    private struct Fingerprint: Hashable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
        var changeSeconds: Int
        var changeNanoseconds: Int
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
    /// No file needs more; a larger one is a mistake (a device, a log).
    private static let largestFile = 4 << 20

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
    ///   read.
    public func load() throws(Failure) -> SharedConfig { try loadWithGeneration().config }

    /// The profiles, and a number that changes whenever the files do.
    func loadWithGeneration() throws(Failure) -> (config: SharedConfig, generation: Int) {
        let fingerprints = [Self.fingerprint(of: configPath), Self.fingerprint(of: credentialsPath)]
        let known = cached.withLock { $0 }
        if let known, known.fingerprints == fingerprints { return (try known.result.get(), known.generation) }
        let generation = (known?.generation ?? 0) + 1
        let result = Result { () throws(Failure) in
            try check(fingerprints[0], configPath, of: "AWS_CONFIG_FILE")
            try check(fingerprints[1], credentialsPath, of: "AWS_SHARED_CREDENTIALS_FILE")
            return SharedConfig(
                config: try Self.parse(configPath), configPath: configPath,
                credentials: try Self.parse(credentialsPath),
                credentialsPath: credentialsPath)
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

    private static func parse(_ path: String) throws(Failure) -> ProfileFile? {
        guard let bytes = try LocalFile.read(path, limit: largestFile) else { return nil }
        do {
            return try ProfileFile(parsing: bytes)
        } catch {
            throw error.failure(in: path)
        }
    }

    private static func fingerprint(of path: String) -> Fingerprint? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Fingerprint(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec,
            changeSeconds: status.st_ctim.tv_sec, changeNanoseconds: status.st_ctim.tv_nsec)
    }
}
