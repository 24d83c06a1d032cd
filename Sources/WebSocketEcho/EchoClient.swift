import OpenSSL
import WebSocket

/// One run of `wsecho`: connect, upgrade, echo until the close handshake is over.
public enum EchoClient {
    /// How a run ended.
    public enum End: Hashable, Sendable {
        /// The close handshake was completed.
        case clean
        /// The server broke a rule, was told so, and the connection was failed (RFC 6455, section 7.1.7).
        case violation(String)
        /// There was no connection, or it ended without a close handshake.
        case broken(String)

        /// `<sysexits.h>`: EX_OK, EX_PROTOCOL, EX_TEMPFAIL.
        public var exitCode: Int32 {
            switch self {
            case .clean: 0
            case .violation: 76
            case .broken: 75
            }
        }
    }

    /// - Parameter roots: as of ``OpenSSL/TLSContext``: a file to trust in place of the system's certificates.
    public static func run(_ url: EchoURL, roots: String?) -> End {
        do {
            let transport = try EchoTransport(url, roots: roots)
            return try echo(over: transport, url)
        } catch let error as EchoTransport.Broken {
            return .broken(error.sentence)
        } catch {
            return .broken("\(error)")
        }
    }

    private static func echo(over transport: EchoTransport, _ url: EchoURL) throws -> End {
        let request = try UpgradeRequest(
            host: url.authority, pathAndQuery: url.pathAndQuery, key: SecureRandom.bytes(16), userAgent: "wsecho")
        try transport.write(request.bytes)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
        defer { buffer.deallocate() }
        var parser = UpgradeResponseParser(for: request)
        var session = EchoSession { SecureRandom.bytes(4).reduce(0) { $0 << 8 | UInt32($1) } }
        var isOpen = false
        while true {
            let count = try transport.read(into: buffer)
            guard count > 0 else {
                if session.isClosed { return .clean }
                return .broken("the server ended the connection without a close handshake")
            }
            var bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            if !isOpen {
                switch parser.feed(UnsafeRawBufferPointer(bytes)) {
                case .needMore: continue
                case .refused(let head, _): return .broken("the server refused the upgrade with status \(head.status)")
                case .violation(let sentence): return .violation(sentence)
                case .accepted(_, let leftover):
                    isOpen = true
                    bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[leftover...])
                }
            }
            try transport.write(session.receive(bytes))
            if session.isClosed || session.violation != nil { return finish(session, transport, buffer) }
        }
    }

    /// The server closes the connection first (section 7.1.1); after two seconds we do.
    private static func finish(
        _ session: EchoSession, _ transport: EchoTransport, _ buffer: UnsafeMutableRawBufferPointer
    ) -> End {
        transport.limitWaits(to: 2)
        while let count = try? transport.read(into: buffer), count > 0 {}
        transport.end()
        return session.violation.map { .violation("the server \($0.sentence)") } ?? .clean
    }
}
