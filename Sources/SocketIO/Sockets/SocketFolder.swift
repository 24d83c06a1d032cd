import Glibc

/// The folder that a Unix socket is put into. Who may write there may replace the socket by one of its own, and gets what is meant
/// for us.
public enum SocketFolder {
    /// Why a folder does not do.
    public enum Flaw: Error, Equatable, Sendable {
        /// It cannot be looked at.
        case missing(SystemError)
        case noFolder
        /// In /tmp everybody can plant a link, which would choose the folder for us.
        case foreignLink
        /// Others can write there.
        case shared

        /// One clause, to be read after the folder's name and a colon.
        public var reason: String {
            switch self {
            case .missing(let error): error.reason
            case .noFolder: "it is no folder"
            case .foreignLink: "it is a symbolic link of another user"
            case .shared: "others can write there, and could replace the socket"
            }
        }
    }

    /// The folder of a path; "." where there is no slash in it.
    public static func of(_ path: String) -> String {
        path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    }

    /// Looks whether the folder belongs to this user and nobody else can write to it.
    public static func check(_ folder: String) throws(Flaw) {
        var status = stat()
        guard lstat(folder, &status) == 0 else { throw .missing(SystemError("stat")) }
        guard status.st_mode & S_IFMT != S_IFLNK || status.st_uid == geteuid() || status.st_uid == 0 else {
            throw .foreignLink
        }
        guard stat(folder, &status) == 0 else { throw .missing(SystemError("stat")) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .noFolder }
        guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else { throw .shared }
    }
}
