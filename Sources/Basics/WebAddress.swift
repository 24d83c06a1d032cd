extension StringProtocol where SubSequence == Substring {
    /// A host's name without the dot that dig and Route 53 write at its end. It is no part of what is sent as SNI (RFC 6066,
    /// section 3), stands in no certificate, and would be another Host for a signature.
    public var withoutFinalDot: Substring { hasSuffix(".") ? dropLast() : self[...] }
}

/// The parts of an `http` or `https` URL that a request is made of.
public struct WebAddress: Sendable, Hashable {
    public let isHTTPS: Bool
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    public let host: String
    /// Nil for the scheme's own.
    public let port: UInt16?
    /// Begins with a slash.
    public let path: String

    public init(isHTTPS: Bool, host: String, port: UInt16?, path: String) {
        self.isHTTPS = isHTTPS
        self.host = host
        self.port = port
        self.path = path
    }

    /// A dot at the end of the host's name is left out.
    ///
    /// Nil for anything that is not `http[s]://host[:port][/path]`. User names, queries and fragments have no place in the
    /// address of a service.
    public init?(_ url: String) {
        let lower = url.lowercased()
        guard let scheme = ["https://", "http://"].first(where: { lower.hasPrefix($0) }) else { return nil }
        let rest = url.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" }
        let path = String(rest[authority.endIndex...])
        guard !url.contains(where: { $0 == "?" || $0 == "#" || $0 == "@" || $0.isWhitespace }) else { return nil }
        var host = authority
        var port: UInt16?
        let colon = authority.lastIndex(of: ":")
        if let colon, !(authority.hasPrefix("[") && authority.hasSuffix("]")) {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else { return nil }
            port = number
            host = authority[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        host = host.withoutFinalDot
        guard !host.isEmpty, !host.contains("["), !host.contains("]") else { return nil }
        isHTTPS = scheme == "https://"
        self.host = String(host)
        let standard: UInt16 = isHTTPS ? 443 : 80
        self.port = port == standard ? nil : port
        self.path = path.isEmpty ? "/" : path
    }

    /// As the Host header has it.
    public var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port.map { "\(name):\($0)" } ?? name
    }

    public var url: String { "\(isHTTPS ? "https" : "http")://\(authority)\(path)" }

    public var effectivePort: Int { Int(port ?? (isHTTPS ? 443 : 80)) }
}
