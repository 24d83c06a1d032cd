import Basics

/// Which proxy a connection goes through, by the environment's variables with curl's semantics
/// (curl(1), "Environment"): `https_proxy` before `HTTPS_PROXY`, then `all_proxy` and `ALL_PROXY`; for plain HTTP only
/// the lower case name, since `HTTP_PROXY` can be set by a request in CGI programs. `no_proxy` lists hosts that are reached
/// directly.
public struct ProxySettings: Sendable, Hashable {
    private let https: String?
    private let http: String?
    private let exceptions: String?

    /// - Parameter variable: the value of the environment's variable of this name; nil where it is unset or empty.
    public init(variable: (String) -> String?) {
        let all = variable("all_proxy") ?? variable("ALL_PROXY")
        https = variable("https_proxy") ?? variable("HTTPS_PROXY") ?? all
        http = variable("http_proxy") ?? all
        exceptions = variable("no_proxy") ?? variable("NO_PROXY")
    }

    /// The proxy's URL for a connection to `host`, a name or an address without brackets; nil for a direct one.
    public func proxy(forHost host: String, port: Int = 443, isHTTPS: Bool = true) -> String? {
        guard let proxy = isHTTPS ? https : http, !isExcepted(host, port) else { return nil }
        return proxy
    }

    /// Whether `no_proxy` names the host: `*` alone means every host; entries are separated by blanks or commas and match
    /// the whole name or a suffix at a dot, an address or a network (`10.0.0.0/8`); a leading dot is ignored; `:port` at the
    /// end of an entry narrows it to that port.
    private func isExcepted(_ host: String, _ port: Int) -> Bool {
        guard let exceptions else { return false }
        if exceptions.trimmingWhitespace() == "*" { return true }
        let name = Self.normalize(host)
        let address = IPAddress(name)
        for entry in exceptions.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            if Self.matches(String(entry), name, address, port) { return true }
        }
        return false
    }

    private static func matches(_ entry: String, _ name: String, _ address: IPAddress?, _ port: Int) -> Bool {
        var entry = entry
        if entry.hasPrefix("[") {
            guard let close = entry.lastIndex(of: "]") else { return false }
            let rest = entry[entry.index(after: close)...]
            if rest.hasPrefix(":"), rest.dropFirst() != "\(port)" { return false }
            entry = String(entry[entry.index(after: entry.startIndex)..<close])
        } else if let colon = entry.lastIndex(of: ":"), entry.firstIndex(of: ":") == colon {
            guard entry[entry.index(after: colon)...] == "\(port)" else { return false }
            entry = String(entry[..<colon])
        }
        if let address {
            if let slash = entry.firstIndex(of: "/") {
                guard let network = IPAddress(String(entry[..<slash])),
                    let length = Int(entry[entry.index(after: slash)...])
                else { return false }
                return address.isIn(network, prefixLength: length)
            }
            return IPAddress(entry) == address
        }
        var suffix = normalize(entry)
        if suffix.hasPrefix(".") { suffix.removeFirst() }
        return !suffix.isEmpty && (name == suffix || name.hasSuffix(".\(suffix)"))
    }

    private static func normalize(_ host: String) -> String {
        var name = host.lowercased()
        if name.hasPrefix("["), name.hasSuffix("]") { name = String(name.dropFirst().dropLast()) }
        return String(name.withoutFinalDot)
    }

    /// What of a proxy's URL nobody may see: user name and password together, as they stand there, decoded and encoded as Basic
    /// authentication sends them (RFC 7617), and the password alone.
    public static func secrets(of url: String) -> [String] {
        guard let at = url.lastIndex(of: "@") else { return [] }
        let start = url.firstRange(of: "://")?.upperBound ?? url.startIndex
        guard start <= at else { return [] }
        let pair = url[start..<at]
        let parts = pair.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let decoded = parts.map { PercentEncoding.decode($0) }
        let colon = [UInt8(ascii: ":")]
        let sent = decoded[0] + colon + (decoded.count > 1 ? decoded[1] : [])
        let password = decoded.count > 1 ? [parts[1], String(decoding: decoded[1], as: UTF8.self)] : []
        return ([Base64.encode(sent), String(decoding: sent, as: UTF8.self), String(pair)] + password).filter {
            !$0.isEmpty
        }
    }

    /// A proxy's URL as messages show it: without user name and password.
    public static func redact(_ url: String) -> String {
        guard let at = url.lastIndex(of: "@") else { return url }
        let scheme = url.firstRange(of: "://").map { String(url[..<$0.upperBound]) } ?? ""
        return scheme + url[url.index(after: at)...]
    }
}
