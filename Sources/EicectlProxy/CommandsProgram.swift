import Descriptors
import Failures
import Glibc

/// `eicectl-commands`, which has all that `proxy` does without. It is `eicectl` to whoever runs it: only that starts it, in its
/// own place.
///
/// Paths are bytes here, as the system has them: what is not UTF-8 is a path, too.
public enum CommandsProgram {
    private static let name = "eicectl-commands"
    private static let folder = "/libexec/eiced"

    /// This process goes on as that program, with the same descriptors and environment.
    ///
    /// - Parameter words: its arguments, without a name.
    /// - Returns: why it could not.
    static func become(_ words: [String]) -> Failure {
        guard let own = ownPath() else {
            return Failure(.internal, "cannot tell where eicectl is", why: SystemError("readlink").reason)
        }
        let path = path(of: own) { access(terminated($0), X_OK) == 0 }
        var arguments = (["eicectl"] + words).map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        execv(terminated(path), arguments)
        return Failure(
            .internal, "cannot run \(String(decoding: path, as: UTF8.self))", why: SystemError("execv").reason,
            hint: "it belongs to eicectl and is installed with it: install eiced again")
    }

    /// The two lie in one folder, as they are built, or in `PREFIX/bin` and `PREFIX/libexec/eiced`, as they are installed.
    ///
    /// - Parameter eicectl: an absolute path.
    static func path(of eicectl: [UInt8], isProgram: ([UInt8]) -> Bool) -> [UInt8] {
        let own = parent(eicectl)
        let installed = parent(own) + "\(folder)/\(name)".utf8
        return own.ends(with: "/bin") && isProgram(installed) ? installed : own + "/\(name)".utf8
    }

    /// The way back: the path of `eicectl`.
    ///
    /// - Parameter commands: an absolute path.
    static func eicectl(of commands: [UInt8]) -> [UInt8] {
        let own = parent(commands)
        return own.ends(with: folder) ? own.dropLast(folder.utf8.count) + "/bin/eicectl".utf8 : own + "/eicectl".utf8
    }

    /// Where the `eicectl` is that became this process; nil where the system does not say.
    public static var eicectlPath: String? {
        ownPath().map { String(decoding: eicectl(of: $0), as: UTF8.self) }
    }

    /// The file that this process runs; nil where the system does not say. Where the file was replaced since, its path has a
    /// note of that after it (proc_pid_exe(5)).
    private static func ownPath() -> [UInt8]? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return nil }
        return buffer.prefix(count).map { UInt8(bitPattern: $0) }
    }

    private static func parent(_ path: [UInt8]) -> [UInt8] {
        path.lastIndex(of: UInt8(ascii: "/")).map { Array(path[..<$0]) } ?? []
    }

    private static func terminated(_ path: [UInt8]) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }
}

extension [UInt8] {
    fileprivate func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
