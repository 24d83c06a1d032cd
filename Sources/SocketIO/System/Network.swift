/// A network of IP addresses: "10.0.0.0/8", "fd00::/8", or a single address.
public struct Network: Hashable, Sendable, CustomStringConvertible {
    private let base: [UInt8]
    private let prefixLength: Int
    public let description: String

    /// Nil where the text is no address, or has a prefix that its family does not have.
    public init?(parsing text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = SocketAddress(ip: String(first), port: 0) else { return nil }
        base = address.ipBytes
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let length = Int(parts[1]), length <= base.count * 8
            else { return nil }
            prefixLength = length
        } else {
            prefixLength = base.count * 8
        }
        description = text
    }

    /// An IPv4 address never lies in an IPv6 network, nor the other way round: no listener of ours takes both.
    public func contains(_ address: SocketAddress) -> Bool {
        let bytes = address.ipBytes
        guard bytes.count == base.count, !bytes.isEmpty else { return false }
        let whole = prefixLength / 8
        guard bytes[..<whole] == base[..<whole] else { return false }
        let rest = prefixLength % 8
        guard rest > 0 else { return true }
        let mask = UInt8(truncatingIfNeeded: 0xFF << (8 - rest))
        return bytes[whole] & mask == base[whole] & mask
    }
}
