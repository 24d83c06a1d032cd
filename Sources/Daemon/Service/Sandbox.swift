import AWS
import Failures

/// What the sandbox of the unit means for what a user asks for. Pure.
struct Sandbox {
    /// The drop-in to loosen.
    let dropIn: String

    /// Nil where the process is not in one.
    init?(_ environment: Environment) {
        guard let dropIn = environment["EICED_SANDBOX"] else { return nil }
        self.dropIn = dropIn
    }

    /// - Throws: when a socket at this path would be seen by nobody else.
    func check(socket path: String) throws(Failure) {
        for folder in ["/tmp/", "/var/tmp/"] where path.hasPrefix(folder) {
            throw Failure(
                .cannotListen, "cannot listen on \(path)", why: "the service has a \(folder) of its own (\(dropIn))",
                hint: "choose a path in $XDG_RUNTIME_DIR/eiced, or loosen the drop-in")
        }
    }
}
