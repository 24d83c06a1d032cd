/// A server's answers to a request for a WebSocket (RFC 6455, section 4.2.2).
///
/// Fields whose name or value could end their line early are left out: what a peer sent must never become a header of
/// its own.
public enum UpgradeResponse {
    /// Status 101. It accepts neither extensions nor a subprotocol.
    ///
    /// - Parameter key: from ``HTTPRequestHead/webSocketKey()``.
    public static func accepting(key: String, headers: HTTPHeaders = HTTPHeaders()) -> [UInt8] {
        let own = [
            HTTPHeaders.Field("Upgrade", "websocket"),
            HTTPHeaders.Field("Connection", "Upgrade"),
            HTTPHeaders.Field("Sec-WebSocket-Accept", Upgrade.accept(forKey: key)),
        ]
        return head(101, own + headers.fields)
    }

    /// Another status with a body, after which the server closes the connection.
    public static func refusing(
        status: Int, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8], contentType: String = "application/json"
    ) -> [UInt8] {
        var own = [
            HTTPHeaders.Field("Content-Type", contentType),
            HTTPHeaders.Field("Content-Length", String(body.count)),
            HTTPHeaders.Field("Connection", "close"),
        ]
        if status == 426 {
            // Section 4.4: the client is told the version to use.
            own.append(HTTPHeaders.Field("Sec-WebSocket-Version", Upgrade.version))
        }
        return head(status, own + headers.fields) + body
    }

    private static func head(_ status: Int, _ fields: [HTTPHeaders.Field]) -> [UInt8] {
        var text = "HTTP/1.1 \(status) \(reasons[status] ?? "Status")\r\n"
        for field in fields
        where !field.name.isEmpty && field.name.utf8.allSatisfy(HTTPSyntax.isTokenByte)
            && HTTPSyntax.isSafeValue(field.value)
        {
            text += "\(field.name): \(field.value)\r\n"
        }
        return Array((text + "\r\n").utf8)
    }

    private static let reasons = [
        101: "Switching Protocols", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
        405: "Method Not Allowed", 426: "Upgrade Required", 429: "Too Many Requests", 500: "Internal Server Error",
        502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    ]
}
