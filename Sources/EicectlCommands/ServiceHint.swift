import Descriptors
import Glibc

/// What to say when forwards would not be there after the next log-in: eiced's unit is installed, and nobody enabled it.
/// It looks at files alone, as systemctl(1) leaves them, since asking the manager costs more than the whole command.
struct ServiceHint {
    private static let unit = "eiced.service"

    /// Where users' units are, and links to those that are enabled; the first is the user's own.
    let folders: [String]

    /// As systemd.unit(5) has it.
    ///
    /// - Parameters:
    ///   - home: `$HOME`; nil where there is none.
    ///   - configuration: `$XDG_CONFIG_HOME`.
    init(home: String?, configuration: String?) {
        let own = configuration ?? home.map { "\($0)/.config" }
        folders =
            (own.map { ["\($0)/systemd/user"] } ?? [])
            + ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"]
    }

    init(folders: [String]) { self.folders = folders }

    /// Nil where there is nothing to say.
    var text: String? {
        guard contains(Self.unit), !contains("default.target.wants/\(Self.unit)") else { return nil }
        return "hint: after the next log-in it listens only once eicectl was called; from the log-in on with "
            + "systemctl --user enable --now eiced.socket eiced.service"
    }

    private func contains(_ name: String) -> Bool {
        folders.contains { folder in
            var status = stat()
            // A link of systemctl's leads to the unit; that it is there is what counts.
            return lstat("\(folder)/\(name)", &status) == 0
        }
    }

    /// This process's own.
    static func current() -> ServiceHint {
        func variable(_ name: String) -> String? {
            ProcessStart.variable(name).flatMap { $0.hasPrefix("/") ? $0 : nil }
        }
        return ServiceHint(home: variable("HOME"), configuration: variable("XDG_CONFIG_HOME"))
    }
}
