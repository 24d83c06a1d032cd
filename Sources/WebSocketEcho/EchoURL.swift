import WebSocket

/// `ws://host[:port]/path?query` or `wss://…` (RFC 6455, section 3).
public struct EchoURL: Hashable, Sendable {
    public let isSecure: Bool
    /// Without the brackets of an IPv6 address.
    public let host: String
    public let port: UInt16
    /// As the Host header has it: with the port unless it is the scheme's own.
    public let authority: String
    public let pathAndQuery: String

    /// Nil where the text is no such URL.
    public init?(_ text: String) {
        guard let mark = text.firstRange(of: "://") else { return nil }
        switch text[..<mark.lowerBound].lowercased() {
        case "ws": isSecure = false
        case "wss": isSecure = true
        default: return nil
        }
        let rest = text[mark.upperBound...]
        guard !rest.contains("#") else { return nil }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let address = rest[..<end]
        pathAndQuery = rest[end...].hasPrefix("/") ? String(rest[end...]) : "/" + rest[end...]
        let standard: UInt16 = isSecure ? 443 : 80
        var name = address
        var number = standard
        if let colon = address.lastIndex(of: ":"), !address[colon...].contains("]") {
            guard let given = UInt16(address[address.index(after: colon)...]), given > 0 else { return nil }
            (name, number) = (address[..<colon], given)
        }
        authority = number == standard ? String(name) : "\(name):\(number)"
        if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
        guard !name.isEmpty, !name.contains("@") else { return nil }
        host = String(name)
        port = number
    }
}
