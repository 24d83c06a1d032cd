import AWS
import Failures
import Glibc
import SocketIO

extension Configuration {
    /// The name of the file below the folder of the user's configuration.
    private static let fileName = "eiced/config.toml"
    /// More than any configuration needs, in bytes.
    private static let longestFile = 1 << 20

    /// Reads the configuration and checks all of it. Blocks on the file system: not for a loop's queue.
    ///
    /// - Parameters:
    ///   - path: what `--config` named; that file must be there. Nil: ``defaultPath(environment:)``, which need not be.
    ///   - environment: a variable's value.
    /// - Returns: the configuration, and what a person should know though it is allowed.
    public static func load(
        path: String?, environment: (String) -> String? = ProcessStart.variable
    ) throws(InvalidConfiguration) -> (Configuration, warnings: [String]) {
        guard let file = path ?? defaultPath(environment: environment) else { return (Configuration(), []) }
        func unreadable(_ why: String) -> InvalidConfiguration {
            InvalidConfiguration(failures: [
                Failure(.configuration, "cannot read the configuration \(file)", why: why)
            ])
        }
        let bytes: [UInt8]?
        do throws(Failure) {
            bytes = try LocalFile.readBlocking(file, limit: longestFile)
        } catch {
            throw unreadable(error.why)
        }
        if let bytes { return try parse(bytes, file: file) }
        var status = stat()
        let isFolder = stat(file, &status) == 0
        if path == nil, !isFolder { return (Configuration(), []) }
        throw unreadable(SystemError("read", code: isFolder ? EISDIR : ENOENT).reason)
    }

    /// `$XDG_CONFIG_HOME/eiced/config.toml`, or `~/.config/eiced/config.toml` without that variable (XDG base directory
    /// specification; a path that is not absolute is to be ignored). Nil without a home.
    public static func defaultPath(
        environment: (String) -> String? = ProcessStart.variable
    ) -> String? {
        if let folder = environment("XDG_CONFIG_HOME"), folder.hasPrefix("/") { return "\(folder)/\(fileName)" }
        if let home = environment("HOME"), home.hasPrefix("/") { return "\(home)/.config/\(fileName)" }
        return nil
    }

    /// Checks the text of a configuration.
    ///
    /// - Parameter file: what messages call it.
    public static func parse(
        _ document: [UInt8], file: String
    ) throws(InvalidConfiguration) -> (Configuration, warnings: [String]) {
        var reader = ConfigurationReader(file: file)
        reader.read(TOMLNode.parse(document))
        guard reader.problems.failures.isEmpty else {
            throw InvalidConfiguration(failures: reader.problems.failures)
        }
        return (reader.configuration, reader.problems.warnings)
    }
}
