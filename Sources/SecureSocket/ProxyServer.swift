import Basics
import Failures

/// A proxy as `HTTPS_PROXY` names it, and what is said to it to reach a host: CONNECT (RFC 9110, section 9.3.6) with Basic
/// authentication (RFC 7617). For the tunnels; libcurl does the same for the API calls.
public struct ProxyServer: Sendable, Hashable {
    /// Whether the connection to the proxy itself is TLS (`https://`).
    public let isTLS: Bool
    /// A name or an address, without brackets.
    public let host: String
    public let port: UInt16
    /// User name and password, decoded. Secret.
    private let authorization: String?
    private let secrets: [String]

    /// Reads `[http[s]://][user[:password]@]host[:port]`. Without a scheme it is `http`; without a port 1080, as with curl, or
    /// 443 for `https`.
    /// - Throws: `.configuration` for anything else. Neither user nor password is shown.
    public init(parsing url: String) throws(Failure) {
        let shown = ProxySettings.redact(url)
        func refuse(_ why: String) -> Failure {
            Failure(
                .configuration, "the proxy \(ForeignText.excerpt(shown, limit: 200)) cannot be used", why: why,
                hint: "HTTPS_PROXY=http://host:port, or NO_PROXY for what is reached directly")
        }
        let scheme = url.firstRange(of: "://").map { url[..<$0.lowerBound].lowercased() } ?? "http"
        guard ["http", "https"].contains(scheme) else {
            throw refuse("tunnels go through http and https proxies only, not \(scheme)")
        }
        secrets = ProxySettings.secrets(of: url)
        let rest = url.firstRange(of: "://").map { url[$0.upperBound...] } ?? url[...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let at = authority.lastIndex(of: "@")
        let address = at.map { authority[authority.index(after: $0)...] } ?? authority
        guard let parsed = WebAddress("\(scheme)://\(address)") else { throw refuse("no host and port were found") }
        isTLS = scheme == "https"
        host = parsed.host
        // WebAddress leaves the scheme's own port out.
        let hasPort = address.hasSuffix(":80") && !isTLS
        port = parsed.port ?? (isTLS ? 443 : hasPort ? 80 : 1_080)
        if let at {
            let user = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                .map { PercentEncoding.decode(String($0)) }
            let pair = user[0] + [UInt8(ascii: ":")] + (user.count > 1 ? user[1] : [])
            authorization = Base64.encode(pair)
        } else {
            authorization = nil
        }
    }

    /// The request that asks the proxy for a connection to `host`, a name or an address without brackets.
    public func connectRequest(toHost host: String, port: UInt16, userAgent: String) -> [UInt8] {
        let target = "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        var text = "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\nUser-Agent: \(userAgent)\r\n"
        if let authorization { text += "Proxy-Authorization: Basic \(authorization)\r\n" }
        return Array((text + "\r\n").utf8)
    }

    /// What is said when the proxy answers CONNECT with anything but 2xx. 401 is what tinyproxy says to a wrong password.
    public func refusal(status: Int, reason: String, toHost host: String) -> Failure {
        let hint: String? =
            switch status {
            case 401, 407: "give the proxy's user name and password in HTTPS_PROXY"
            case 403: "the proxy must allow CONNECT to \(host), or NO_PROXY must name it"
            default: nil
            }
        return Failure(
            [401, 403, 407].contains(status) ? .accessDenied : .cannotConnect, "proxy \(self) refused \(host)",
            why: ["HTTP \(status)", words(reason)].filter { !$0.isEmpty }.joined(separator: " "), hint: hint)
    }

    /// A reason phrase as messages may carry it. One that repeats a password too short to be told from other words is not shown.
    private func words(_ reason: String) -> String {
        let repeated = Redaction(secrets.map { $0 }).removing(from: reason)
        return secrets.contains { repeated.contains($0) } ? "" : Redaction(secrets.map { $0 }).text(reason, limit: 100)
    }
}

extension ProxyServer: CustomStringConvertible, CustomReflectable {
    /// Without user name and password.
    public var description: String {
        "\(isTLS ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
    public var customMirror: Mirror { Mirror(self, children: ["proxy": description]) }
}

extension ProxySettings {
    /// The proxy for a tunnel to `host`; nil for a direct connection.
    public func server(forHost host: String, port: Int = 443) throws(Failure) -> ProxyServer? {
        guard let url = proxy(forHost: host, port: port) else { return nil }
        return try ProxyServer(parsing: url)
    }
}
