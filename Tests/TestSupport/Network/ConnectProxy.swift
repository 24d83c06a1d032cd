/// An HTTP proxy that knows CONNECT to loopback ports and nothing else.
public final class ConnectProxy: Sendable {
    public var port: UInt16 { server.port }
    private let server: LoopbackServer

    /// - Parameter answer: what a request that is fulfilled is answered with.
    public init(answer: String = "HTTP/1.1 200 Connection established\r\n\r\n") throws {
        server = try LoopbackServer { client in
            var head: [UInt8] = []
            while head.firstRange(of: Array("\r\n\r\n".utf8)) == nil {
                let more = try client.read(upTo: 1)
                if more.isEmpty { return }
                head += more
            }
            let words = String(decoding: head, as: UTF8.self).split(separator: " ")
            guard words.first == "CONNECT", let port = words[1].split(separator: ":").last.flatMap({ UInt16($0) })
            else {
                return try client.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            }
            let onward = try LoopbackSocket.connect(port: port)
            defer { onward.close() }
            try client.write(answer)
            let down = try Joined { Self.carry(from: onward, to: client) }
            Self.carry(from: client, to: onward)
            // It uses both sockets until it has seen the end.
            try down.wait()
        }
    }

    /// To the end; a side that breaks ends both.
    private static func carry(from source: LoopbackSocket, to sink: LoopbackSocket) {
        do {
            while true {
                let bytes = try source.read()
                if bytes.isEmpty { break }
                try sink.write(bytes)
            }
            sink.shutdownWrite()
        } catch {
            source.shutdownBoth()
            sink.shutdownBoth()
        }
    }
}
