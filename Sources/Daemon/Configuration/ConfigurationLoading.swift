import AWS
import Failures

/// The configuration for the daemon's own use: all that is wrong with the file as one failure, a line for each.
enum ConfigurationLoading {
    static func load(path: String?) throws(Failure) -> (Configuration, warnings: [String]) {
        let loaded: (Configuration, warnings: [String])
        do throws(InvalidConfiguration) {
            loaded = try Configuration.load(path: path)
        } catch {
            let lines = ListText.brief(lines: error.failures.map(\.description), of: "mistakes")
            throw Failure(.configuration, lines.joined(separator: "\n"))
        }
        try VisibleUsers.current().check(loaded.0, sandbox: Sandbox(.current()))
        return (loaded.0, ListText.brief(lines: loaded.warnings, of: "warnings"))
    }
}
