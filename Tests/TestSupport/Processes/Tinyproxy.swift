import Glibc

/// A real HTTP proxy on a port of its own.
public final class Tinyproxy: Sendable {
    public static let isInstalled = access("/usr/bin/tinyproxy", X_OK) == 0
    /// What speaks TLS before it, since tinyproxy itself does not.
    public static let canSpeakTLS = isInstalled && access("/usr/bin/stunnel", X_OK) == 0

    public let port: UInt16
    /// What `HTTPS_PROXY` says to use it, its login included.
    public let url: String
    private let folder: TemporaryDirectory
    private let children: [ChildProcess]

    /// - Parameters:
    ///   - login: `user:password`; nil: it serves everybody.
    ///   - settings: further lines of its configuration.
    ///   - certificate: chain and key, PEM, with which it speaks TLS to its clients; it must be good for 127.0.0.1.
    public static func start(
        login: String? = nil, settings: String = "", certificate: String? = nil
    ) async throws -> Tinyproxy {
        let proxy = try Tinyproxy(login: login, settings: settings, certificate: certificate)
        try await eventually("the proxy listens") {
            (try? LoopbackSocket.connect(port: proxy.inner)) != nil
                && (try? LoopbackSocket.connect(port: proxy.port)) != nil
        }
        return proxy
    }

    private let inner: UInt16

    private init(login: String?, settings: String, certificate: String?) throws {
        folder = try TemporaryDirectory("proxy")
        inner = try freePort()
        let words = login.map { "BasicAuth \($0.split(separator: ":", maxSplits: 1).joined(separator: " "))\n" } ?? ""
        let file = try folder.write(
            "tinyproxy.conf",
            """
            Port \(inner)
            Listen 127.0.0.1
            Timeout 60
            Allow 127.0.0.1
            LogFile "\(folder("log"))"
            LogLevel Connect
            \(words)\(settings)

            """)
        var children = [try ChildProcess("/usr/bin/tinyproxy", ["-d", "-c", file], diesWithParent: true)]
        let user = login.map { "\($0)@" } ?? ""
        if let certificate {
            port = try freePort()
            let file = try folder.write(
                "stunnel.conf",
                """
                foreground = yes
                pid =
                [proxy]
                accept = 127.0.0.1:\(port)
                connect = 127.0.0.1:\(inner)
                cert = \(try folder.write("certificate.pem", certificate))

                """)
            children.append(try ChildProcess("/usr/bin/stunnel", [file], diesWithParent: true))
            url = "https://\(user)127.0.0.1:\(port)"
        } else {
            port = inner
            url = "http://\(user)127.0.0.1:\(port)"
        }
        self.children = children
    }

    /// How often it was asked for something at this port of the loopback interface: by CONNECT, or to pass a request on.
    public func requests(to port: UInt16) -> Int {
        let log = contents(of: folder("log")) ?? ""
        return log.split(separator: "\n").count { line in
            line.contains("CONNECT 127.0.0.1:\(port) ") || line.contains(" http://127.0.0.1:\(port)/")
        }
    }
}
