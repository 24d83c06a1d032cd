import Descriptors
import Failures
import Glibc

/// `eicectl-commands`, which has all that `proxy` does without. It is `eicectl` to whoever runs it: only that starts it, in its
/// own place.
public enum CommandsProgram {
    private static let name = "eicectl-commands"
    private static let folder = "/libexec/eiced"

    /// This process goes on as that program, with the same descriptors and environment.
    ///
    /// - Parameter words: its arguments, without a name.
    /// - Returns: why it could not.
    static func become(_ words: [String]) -> Failure {
        guard let own = ProcessStart.executable else {
            return Failure(
                .internal, "cannot tell where eicectl is", why: SystemError("readlink").reason,
                hint: "mount /proc, or start eicectl by its path")
        }
        let path = path(of: own) { access($0, X_OK) == 0 }
        var arguments = (["eicectl"] + words).map { $0.duplicateSystemString() }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        _ = path.withSystemString { execv($0, arguments) }
        return Failure(
            .internal, "cannot run \(path)", why: SystemError("execv").reason,
            hint: "it belongs to eicectl and is installed with it: install eiced again")
    }

    /// The two lie in one folder, as they are built, or in `PREFIX/bin` and `PREFIX/libexec/eiced`, as they are installed.
    ///
    /// - Parameter eicectl: an absolute path.
    static func path(of eicectl: String, isProgram: (String) -> Bool) -> String {
        let own = parent(eicectl)
        let installed = parent(own) + "\(folder)/\(name)"
        return own.hasSuffix("/bin") && isProgram(installed) ? installed : own + "/\(name)"
    }

    /// The way back: the path of `eicectl`.
    ///
    /// - Parameter commands: an absolute path.
    static func eicectl(of commands: String) -> String {
        let own = parent(commands)
        return own.hasSuffix(folder) ? own.dropLast(folder.count) + "/bin/eicectl" : own + "/eicectl"
    }

    /// Where the `eicectl` is that became this process; nil where the system does not say.
    public static var eicectlPath: String? { ProcessStart.executable.map { eicectl(of: $0) } }

    private static func parent(_ path: String) -> String {
        path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? ""
    }
}
