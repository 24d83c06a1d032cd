import Basics

/// Reads a client's request on the server's side (RFC 6455, section 4.2.1), split anywhere. Whether it asks for a
/// WebSocket is a second question, ``HTTPRequestHead/webSocketKey()``, so that a server can first look at the request's
/// path or signature.
public struct UpgradeRequestParser: Sendable {
    public enum Outcome: Sendable, Hashable {
        case needMore
        /// The head is complete. What follows stands in the buffer that was fed last, from `leftover` on.
        case request(HTTPRequestHead, leftover: Int)
        /// Not HTTP as we read it: to be answered with `status` and closed.
        case violation(status: Int, String)
    }

    private var reader = HTTPHeadReader(.request)
    private var isDone = false

    public init() {}

    /// Takes the next bytes. Once anything but `.needMore` was returned, the parser is done.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard !isDone else { return .violation(status: 400, "bytes came after the end") }
        do {
            guard let (head, used) = try reader.feed(bytes) else { return .needMore }
            isDone = true
            return .request(try Self.parse(head), leftover: used)
        } catch {
            isDone = true
            return .violation(status: 400, error.sentence)
        }
    }

    private static func parse(_ bytes: [UInt8]) throws(MalformedHTTP) -> HTTPRequestHead {
        let (line, headers) = try HTTPSyntax.parse(section: bytes[...], of: .request)
        let parts = line.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[0].utf8.allSatisfy(HTTPSyntax.isTokenByte),
            parts[1].hasPrefix("/"), HTTPSyntax.isVisible(String(parts[1])), parts[2] == "HTTP/1.1"
        else { throw MalformedHTTP("the request line is malformed") }
        guard headers.values("Host").count == 1 else { throw MalformedHTTP("there must be one Host field") }
        return HTTPRequestHead(method: String(parts[0]), target: String(parts[1]), headers: headers)
    }
}

extension HTTPRequestHead {
    /// Why a request is no request for a WebSocket, with the status to answer.
    public struct NotAnUpgrade: Error, Sendable, Hashable {
        public var status: Int
        public var sentence: String
    }

    /// Checks that this asks for a WebSocket as section 4.2.1 demands, and returns the key to answer with.
    public func webSocketKey() throws(NotAnUpgrade) -> String {
        guard method == "GET" else { throw NotAnUpgrade(status: 405, sentence: "the method is not GET") }
        guard headers.tokens("Upgrade").contains("websocket"), headers.tokens("Connection").contains("upgrade") else {
            throw NotAnUpgrade(status: 426, sentence: "the request does not ask for a WebSocket")
        }
        guard headers.values("Sec-WebSocket-Version") == [Upgrade.version] else {
            throw NotAnUpgrade(status: 426, sentence: "the WebSocket version is not \(Upgrade.version)")
        }
        let keys = headers.values("Sec-WebSocket-Key")
        guard keys.count == 1, Base64.isSixteenBytes(keys[0]) else {
            throw NotAnUpgrade(status: 400, sentence: "Sec-WebSocket-Key is not the Base64 of 16 bytes")
        }
        return keys[0]
    }
}
