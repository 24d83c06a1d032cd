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
        path: String?, environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }
    ) throws(InvalidConfiguration) -> (Configuration, warnings: [String]) {
        guard let file = path ?? defaultPath(environment: environment) else { return (Configuration(), []) }
        do {
            return try parse(try contents(of: file), file: file)
        } catch let error as SystemError {
            if path == nil, error.code == ENOENT || error.code == ENOTDIR { return (Configuration(), []) }
            throw InvalidConfiguration(failures: [
                Failure(.configuration, "cannot read the configuration \(file)", why: error.reason)
            ])
        } catch let error as InvalidConfiguration {
            throw error
        } catch {
            throw InvalidConfiguration(failures: [
                Failure(.configuration, "cannot read the configuration \(file)", why: "\(error)")
            ])
        }
    }

    /// `$XDG_CONFIG_HOME/eiced/config.toml`, or `~/.config/eiced/config.toml` without that variable (XDG base directory
    /// specification; a path that is not absolute is to be ignored). Nil without a home.
    public static func defaultPath(
        environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }
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

    private static func contents(of path: String) throws(SystemError) -> [UInt8] {
        // Not blocking, so that a FIFO by that name cannot hold us up; for a plain file it makes no difference.
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard raw >= 0 else { throw SystemError("open") }
        let descriptor = FileDescriptor(takingOwnership: raw)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1_024)
        // One byte over the limit is enough for the reader to see that it is too long.
        while bytes.count <= longestFile {
            let count = Glibc.read(descriptor.raw, &buffer, buffer.count)
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw SystemError("read")
            }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return bytes
    }
}
