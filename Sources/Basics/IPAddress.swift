import Glibc

/// An IPv4 or IPv6 address, compared by its bytes and not by its spelling.
public struct IPAddress: Sendable, Hashable {
    /// Four or sixteen bytes, network order.
    public let bytes: [UInt8]

    public var isIPv6: Bool { bytes.count == 16 }

    /// Nil where the text is no address. A zone (`fe80::1%eth0`) is not accepted: no target in a VPC has one.
    public init?(_ text: String) {
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            bytes = withUnsafeBytes(of: &four) { Array($0) }
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            bytes = withUnsafeBytes(of: &six) { Array($0) }
        } else {
            return nil
        }
    }

    /// 127.0.0.0/8 and ::1.
    public var isLoopback: Bool { isIPv6 ? bytes == [UInt8](repeating: 0, count: 15) + [1] : bytes[0] == 127 }

    public func isIn(_ network: IPAddress, prefixLength: Int) -> Bool {
        guard network.bytes.count == bytes.count, 0...(bytes.count * 8) ~= prefixLength else { return false }
        let whole = prefixLength / 8
        guard bytes.prefix(whole) == network.bytes.prefix(whole) else { return false }
        let rest = prefixLength % 8
        return rest == 0 || (bytes[whole] ^ network.bytes[whole]) >> UInt8(8 - rest) == 0
    }
}

extension IPAddress: CustomStringConvertible {
    /// The shortest usual spelling (inet_ntop(3)).
    public var description: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
            let family = isIPv6 ? AF_INET6 : AF_INET
            guard let text = inet_ntop(family, bytes, buffer.baseAddress, socklen_t(buffer.count)) else { return "" }
            return String(cString: text)
        }
    }
}
