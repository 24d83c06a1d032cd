import Descriptors
import Glibc

/// How a helper program is started: as a child, or, where eiced runs in its unit's sandbox, as a unit of its own, since a child
/// would inherit the sandbox and a helper needs what is hidden from eiced. Pure but for ``hasServiceManager(_:)``.
struct HelperLaunch: Sendable {
    /// Names the sandbox to whoever is in it: systemd/eiced.service.d/sandbox.conf sets it.
    static let sandboxVariable = "EICED_SANDBOX"
    /// What belongs to the service that starts it.
    private static let own: Set<String> = [
        sandboxVariable, "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MANAGERPID", "LIBDISPATCH_LOG",
        "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE",
    ]

    let arguments: [String]
    /// The sandbox's drop-in, where the helper is in it too.
    let sandbox: String?
    /// What ends a helper that is a unit and no child, so that killing what was started does not end it.
    let ending: [String]?

    /// - Parameters:
    ///   - unit: a name for its unit, where it is one.
    ///   - hasServiceManager: whether the user manager can be asked.
    init(_ words: [String], unit: String, environment: Environment, timeout: Duration, hasServiceManager: Bool) {
        guard let sandbox = environment[Self.sandboxVariable] else {
            arguments = words
            self.sandbox = nil
            ending = nil
            return
        }
        guard hasServiceManager else {
            arguments = words
            self.sandbox = sandbox
            ending = nil
            return
        }
        self.sandbox = nil
        ending = ["systemctl", "--user", "kill", "--signal=KILL", "\(unit).service"]
        // By name alone: a value in an argument list could be read by other users.
        let variables = environment.values.keys.filter { !Self.own.contains($0) }.sorted().map { "--setenv=\($0)" }
        arguments =
            [
                "systemd-run", "--user", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec",
                "--unit=\(unit)", "--description=credential_process of eiced",
                // Where nobody is left who could end it.
                "--property=RuntimeMaxSec=\(timeout.components.seconds + 1)",
            ] + variables
            // The helper is looked for out there, where the home is to be seen.
            + ["--", "/bin/sh", "-c", #"exec "$$0" "$$@""#]
            // The service manager expands variables in a unit's command line (systemd.service(5)).
            + words.map { $0.replacing("$", with: "$$") }
    }

    /// Whether the user's bus is to be seen, by which systemd-run(1) reaches the user manager.
    static func hasServiceManager(_ environment: Environment) -> Bool {
        guard let folder = environment["XDG_RUNTIME_DIR"] else { return false }
        return access("\(folder)/bus", R_OK | W_OK) == 0
    }
}
