import Bounds
import Descriptors
import Failures
import Glibc

/// Notices that a person has logged in: a change in AWS's shared files or in the AWS CLI's caches of log-ins and roles. They are
/// looked at once a second while somebody waits, once for all who do, and not at all otherwise.
final class LoginWatch: Sendable {
    /// What the files look like; equal where nothing was written.
    struct Snapshot: Hashable, Sendable {
        fileprivate var marks: [String: Mark] = [:]
    }

    fileprivate struct Mark: Hashable, Sendable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
    }

    private let files: [String]
    private let folders: [String]
    private let interval: Duration
    private let flights = SingleFlight<Snapshot, Void>()
    private let looks = BlockingFlights<[String], Snapshot>(pool: .files)

    init(environment: Environment, files: SharedConfigFiles, interval: Duration = .seconds(1)) {
        self.files = [files.configPath, files.credentialsPath]
        folders = ["~/.aws/sso/cache", "~/.aws/cli/cache"].map { environment.expand(path: $0) }
        self.interval = interval
    }

    /// - Throws: `.deadline` where a folder hangs or the calling task is cancelled.
    func snapshot() async throws(Failure) -> Snapshot {
        let outcome = await looks.run(folders, within: LocalFile.patience) { self.look() }
        return try LocalFile.value(of: outcome, "look into", folders[0])
    }

    private func look() -> Snapshot {
        var snapshot = Snapshot()
        for path in files { snapshot.marks[path] = Self.mark(path) }
        for folder in folders {
            guard let stream = opendir(folder) else { continue }
            defer { closedir(stream) }
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(systemString: $0) }
                }
                if name.hasSuffix(".json") { snapshot.marks["\(folder)/\(name)"] = Self.mark("\(folder)/\(name)") }
            }
        }
        return snapshot
    }

    /// Returns when the files no longer look as they did.
    /// - Throws: `.deadline` where the calling task is cancelled.
    func change(since snapshot: Snapshot) async throws(Failure) {
        try await flights.run(snapshot, what: "no log-in has happened") { () throws(Failure) in
            while true {
                // What hangs is looked at again.
                let present = try? await self.snapshot()
                if let present, present != snapshot { return }
                do {
                    try await Task.sleep(for: self.interval)
                } catch {
                    throw Failure(.deadline, "no log-in has happened")
                }
            }
        }
    }

    private static func mark(_ path: String) -> Mark? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Mark(
            inode: UInt64(status.st_ino), size: Int64(status.st_size), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
    }
}
