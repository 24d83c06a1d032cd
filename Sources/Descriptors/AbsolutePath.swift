import Glibc

/// Paths as people write them.
public enum AbsolutePath {
    /// `path` as an absolute one: `~` and `~/…` are in the home folder, everything else that is relative is in the current folder.
    ///
    /// - Parameters:
    ///   - home: `$HOME`; where it is nil or not absolute, the user database is asked.
    ///   - folder: the current folder.
    /// - Returns: nil where that folder is not known.
    public static func of(
        _ path: String, home: String? = ProcessStart.variable("HOME"), folder: () -> String? = currentFolder
    ) -> String? {
        if path.utf8.first == UInt8(ascii: "/") { return path }
        if path == "~" || path.utf8.starts(with: "~/".utf8) {
            let home = home.flatMap { $0.utf8.first == UInt8(ascii: "/") ? $0 : nil } ?? accountHome
            return home.map { $0 + path.dropFirst() }
        }
        return folder().map { $0 == "/" ? "/\(path)" : "\($0)/\(path)" }
    }

    /// The home folder of the user database; nil for a user that it does not have.
    public static var accountHome: String? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
            guard let base = buffer.baseAddress, getpwuid_r(getuid(), &entry, base, buffer.count, &found) == 0,
                found != nil, let directory = entry.pw_dir
            else { return nil }
            return String(systemString: directory)
        }
    }
}
