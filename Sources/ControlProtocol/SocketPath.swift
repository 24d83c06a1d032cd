import Descriptors
import Failures
import Glibc

/// Where the control socket is.
public enum SocketPath {
    /// The most bytes of a path in `sockaddr_un`, its closing NUL not counted (unix(7)).
    public static let maximumLength = 107
    static let name = "eiced/control.sock"

    /// Both programs ask here, so that they always agree: `--socket`, `$EICED_SOCKET`,
    /// `$XDG_RUNTIME_DIR/eiced/control.sock`, and without that variable the same in `/run/user/UID` if it is ours.
    ///
    /// - Parameters:
    ///   - option: what `--socket` said.
    ///   - environment: a variable's value; an empty one counts as not set, and `XDG_RUNTIME_DIR` must be absolute, as the XDG
    ///     base directory specification has it.
    ///   - ownsFolder: whether a path is a folder of this user.
    ///   - folder: what a relative path is relative to; nil where that has no name.
    /// - Returns: an absolute path. A `~` at the beginning is the home folder, since not only shells pass such paths.
    public static func find(
        option: String?, environment: (String) -> String?, uid: UInt32, ownsFolder: (String) -> Bool,
        folder current: () -> String? = currentFolder
    ) throws(Failure) -> String {
        func variable(_ name: String) -> String? {
            environment(name).flatMap { $0.isEmpty ? nil : $0 }
        }
        func absolute(_ path: String, from source: String) throws(Failure) -> String {
            guard !path.isEmpty else { return try checked(path, from: source) }
            let whole = AbsolutePath.of(path, home: variable("HOME"), folder: current)
            guard let whole else { throw unusable(source, "\"\(path)\" is relative to a folder that has no name") }
            return try checked(whole, from: source)
        }
        if let option { return try absolute(option, from: "--socket") }
        if let path = variable("EICED_SOCKET") { return try absolute(path, from: "$EICED_SOCKET") }
        if let folder = variable("XDG_RUNTIME_DIR"), folder.hasPrefix("/") {
            return try checked("\(folder)/\(name)", from: "$XDG_RUNTIME_DIR")
        }
        let folder = "/run/user/\(uid)"
        guard ownsFolder(folder) else {
            throw Failure(
                .configuration, "cannot tell where the control socket is",
                why: "XDG_RUNTIME_DIR is not set, and \(folder) is not a folder of yours",
                hint: "set EICED_SOCKET to a path, for eiced and for eicectl")
        }
        return try checked("\(folder)/\(name)", from: folder)
    }

    /// The same for this process.
    public static func find(option: String?) throws(Failure) -> String {
        try find(
            option: option,
            environment: ProcessStart.variable,
            uid: getuid(),
            ownsFolder: { path in
                var status = stat()
                return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == getuid()
            })
    }

    private static func checked(_ path: String, from source: String) throws(Failure) -> String {
        let why: String
        if path.isEmpty {
            why = "the path is empty"
        } else if path.utf8.contains(0) {
            why = "the path has a NUL in it"
        } else if path.systemBytes.count > maximumLength {
            why = "the path has \(path.systemBytes.count) bytes, and a Unix socket's has at most \(maximumLength)"
        } else {
            return path
        }
        throw unusable(source, why)
    }

    private static func unusable(_ source: String, _ why: String) -> Failure {
        Failure(
            .configuration, "cannot use the control socket of \(source)", why: why,
            hint: "choose a shorter path with --socket or EICED_SOCKET")
    }
}
