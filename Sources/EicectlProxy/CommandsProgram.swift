import Descriptors
import Failures
import Glibc

/// `eicectl-commands`, which has all that `proxy` does without. It is `eicectl` to whoever runs it: only that starts it, in its
/// own place.
public enum CommandsProgram {
    static let name = "eicectl-commands"
    private static let folder = "/libexec/eiced"

    /// This process goes on as that program, with the same descriptors and environment.
    ///
    /// - Parameter words: its arguments, without a name.
    /// - Returns: why it could not.
    static func become(_ words: [String]) -> Failure {
        guard let own = ownPath() else {
            return Failure(.internal, "cannot tell where eicectl is", why: SystemError("readlink").reason)
        }
        let path = path(of: own) { access($0, X_OK) == 0 }
        var arguments = (["eicectl"] + words).map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        execv(path, arguments)
        return Failure(
            .internal, "cannot run \(path)", why: SystemError("execv").reason,
            hint: "it belongs to eicectl and is installed with it: install eiced again")
    }

    /// The two lie in one folder, as they are built, or in `PREFIX/bin` and `PREFIX/libexec/eiced`, as they are installed.
    ///
    /// - Parameter eicectl: an absolute path.
    static func path(of eicectl: String, isProgram: (String) -> Bool) -> String {
        let own = parent(eicectl)
        let installed = "\(parent(own))\(folder)/\(name)"
        return own.hasSuffix("/bin") && isProgram(installed) ? installed : "\(own)/\(name)"
    }

    /// The way back: the path of `eicectl`.
    ///
    /// - Parameter commands: an absolute path.
    public static func eicectl(of commands: String) -> String {
        let own = parent(commands)
        return own.hasSuffix(folder) ? "\(own.dropLast(folder.utf8.count))/bin/eicectl" : "\(own)/eicectl"
    }

    /// The file that this process runs; nil where the system does not say. Where the file was replaced since, its path has a
    /// note of that after it (proc_pid_exe(5)).
    public static func ownPath() -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }
}
