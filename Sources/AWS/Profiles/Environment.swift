import Descriptors
import Failures

/// The environment variables that AWS's settings are read from, as a value: taken once when the daemon starts, so
/// that everything that depends on it can be tested without touching the process.
public struct Environment: Sendable, Hashable {
    public var values: [String: String]
    /// Variables of the shell that a request came from whose values cannot be used here. A source of credentials that such a
    /// variable configures must fail: the next source would be another account.
    public var withheld: Set<String> = []
    /// Variables of that shell whose files it sees.
    public var visible: Set<String> = []

    public init(_ values: [String: String]) { self.values = values }

    /// The process's own environment, in which no byte is lost (see `String.systemBytes`).
    public static func current() -> Environment {
        var values: [String: String] = [:]
        for variable in ProcessStart.environment {
            // By bytes: a value may begin with a combining character, which is one `Character` with the sign before it.
            let bytes = variable.utf8
            guard let equals = bytes.firstIndex(of: UInt8(ascii: "=")) else { continue }
            values[String(variable[..<equals])] = String(variable[bytes.index(after: equals)...])
        }
        return Environment(values)
    }

    /// The value of a variable; nil where it is unset or empty, as the AWS SDKs read their own variables.
    public subscript(_ name: String) -> String? {
        guard let value = values[name], !value.isEmpty else { return nil }
        return value
    }

    /// The first of these variables that is set and not empty.
    public func first(of names: String...) -> String? {
        for name in names {
            if let value = self[name] { return value }
        }
        return nil
    }

    /// Whether a switch is on: "true" in any case, as AWS's boolean variables are written.
    public func flag(_ name: String) -> Bool { self[name]?.lowercased() == "true" }

    /// Without what the service manager tells this process alone: a helper must not take over its sockets, feed its watchdog or
    /// speak for it (sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)).
    var withoutServiceManager: Environment {
        var environment = self
        environment.values = values.filter { name, _ in
            name != "NOTIFY_SOCKET" && !name.hasPrefix("LISTEN_") && !name.hasPrefix("WATCHDOG_")
        }
        return environment
    }

    /// The user's home folder: HOME, else what the user database says.
    public var homeDirectory: String? { self["HOME"] ?? AbsolutePath.accountHome }

    /// A path as botocore expands it (``PathText``).
    public func expand(path: String) -> String {
        PathText.expand(path, home: homeDirectory) { values[$0] }
    }
}
