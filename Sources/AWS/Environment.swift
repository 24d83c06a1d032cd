import Glibc

/// The environment variables that AWS's settings are read from, as a value: taken once when the daemon starts, so
/// that everything that depends on it can be tested without touching the process.
public struct Environment: Sendable, Hashable {
    public var values: [String: String]

    public init(_ values: [String: String]) { self.values = values }

    /// The process's own environment. Bytes that are not UTF-8 are replaced: no AWS setting has any.
    public static func current() -> Environment {
        var values: [String: String] = [:]
        var entry: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = environ
        while let pair = entry?.pointee {
            let text = String(cString: pair)
            if let equals = text.firstIndex(of: "=") {
                values[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            entry = entry?.advanced(by: 1)
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
        Environment(
            values.filter { name, _ in
                name != "NOTIFY_SOCKET" && !name.hasPrefix("LISTEN_") && !name.hasPrefix("WATCHDOG_")
            })
    }

    /// The user's home folder: HOME, else what the user database says.
    public var homeDirectory: String? {
        if let home = self["HOME"] { return home }
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
            guard let base = buffer.baseAddress, getpwuid_r(getuid(), &entry, base, buffer.count, &found) == 0,
                found != nil, let directory = entry.pw_dir
            else { return nil }
            return String(cString: directory)
        }
    }

    /// A path as botocore expands it: a leading `~`, then `$NAME` and `${NAME}`; an unknown name stays as it is.
    public func expand(path: String) -> String {
        var text = expandVariables(path)
        if text == "~" || text.hasPrefix("~/"), let home = homeDirectory {
            text = home + text.dropFirst()
        }
        return text
    }

    private func expandVariables(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        // Looked for once where there is none: each `${` would read the rest of a long text.
        var hasClosing = true
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            let after = rest[rest.index(after: dollar)...]
            var name: Substring
            var end: Substring.Index
            let close = hasClosing && after.first == "{" ? after.firstIndex(of: "}") : nil
            if after.first == "{" { hasClosing = close != nil }
            if let close {
                name = after[after.index(after: after.startIndex)..<close]
                end = after.index(after: close)
            } else {
                name = after.prefix { $0 == "_" || $0.isASCII && ($0.isLetter || $0.isNumber) }
                end = name.endIndex
            }
            if !name.isEmpty, let value = values[String(name)] {
                result += value
            } else {
                result += rest[dollar..<end]
            }
            rest = rest[end...]
        }
        return result + rest
    }
}
