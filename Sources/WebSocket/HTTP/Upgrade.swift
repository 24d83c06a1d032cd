import Basics
import OpenSSL

/// What both sides of the opening handshake share (RFC 6455, sections 1.3 and 4).
enum Upgrade {
    static let version = "13"

    /// What a server answers to a client's key (section 4.2.2, point 5.4): proof that it speaks WebSocket.
    static func accept(forKey key: String) -> String {
        Base64.encode(Digest.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
    }
}

/// The request that a client opens a WebSocket with (RFC 6455, section 4.1). It offers neither extensions nor a
/// subprotocol.
public struct UpgradeRequest: Sendable, Hashable {
    public struct Invalid: Error, Sendable, Hashable {
        public var sentence: String
    }

    public let host: String
    public let pathAndQuery: String
    /// As it stands in the header: Base64 of 16 random bytes.
    public let key: String
    public let userAgent: String

    /// - Parameters:
    ///   - host: with `:port` where that is not the scheme's own, since a signature may cover it.
    ///   - pathAndQuery: begins with `/`, percent-encoded already; it is sent as it is.
    ///   - key: 16 bytes, fresh and random for each connection.
    ///   - userAgent: printable ASCII.
    /// - Throws: ``Invalid`` where a part could not stand in a request without changing its meaning.
    public init(host: String, pathAndQuery: String, key: [UInt8], userAgent: String) throws(Invalid) {
        guard !host.isEmpty, HTTPSyntax.isVisible(host), !host.utf8.contains(UInt8(ascii: "/")) else {
            throw Invalid(sentence: "the host name has characters that are not allowed")
        }
        guard pathAndQuery.hasPrefix("/"), HTTPSyntax.isVisible(pathAndQuery),
            !pathAndQuery.utf8.contains(UInt8(ascii: "#"))
        else {
            throw Invalid(sentence: "the path has characters that are not allowed")
        }
        guard !userAgent.isEmpty, HTTPSyntax.isSafeValue(userAgent) else {
            throw Invalid(sentence: "the user agent has characters that are not allowed")
        }
        guard key.count == 16 else { throw Invalid(sentence: "the WebSocket key is not 16 bytes long") }
        self.host = host
        self.pathAndQuery = pathAndQuery
        self.key = Base64.encode(key)
        self.userAgent = userAgent
    }

    /// What is sent.
    public var bytes: [UInt8] {
        Array(
            """
            GET \(pathAndQuery) HTTP/1.1\r
            Host: \(host)\r
            Upgrade: websocket\r
            Connection: Upgrade\r
            Sec-WebSocket-Key: \(key)\r
            Sec-WebSocket-Version: \(Upgrade.version)\r
            User-Agent: \(userAgent)\r
            \r\n
            """.utf8)
    }
}
