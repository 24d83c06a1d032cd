import Glibc
import TestSupport

/// Another program that carries a local port to the target over TLS, for comparison.
final class Peer: Sendable {
    let name: String
    let port: UInt16
    /// The process on the client's side, whose work is what eiced's is compared with.
    let client: ChildProcess
    private let folder: TemporaryDirectory

    private init(
        _ name: String, port: UInt16, client: ChildProcess, folder: TemporaryDirectory
    ) async throws {
        self.name = name
        self.port = port
        self.client = client
        self.folder = folder
        try await eventually("\(name) listens") {
            if let exit = client.exit { throw TestFailure("\(name) ended with \(exit): \(client.standardError)") }
            return (try? LoopbackSocket.connect(port: port)) != nil
        }
    }

    static func isInstalled(_ program: String) -> Bool { access("/usr/bin/\(program)", X_OK) == 0 }

    /// stunnel(8) as a client: plain TLS, a thread a connection.
    ///
    /// - Parameters:
    ///   - server: the port of a TLS server on this host.
    ///   - wrapper: a program with arguments that runs it in its own place, such as valgrind(1).
    static func stunnel(to server: UInt16, wrapper: [String] = []) async throws -> Peer {
        let folder = try TemporaryDirectory("stunnel")
        let port = try freePort()
        let file = try folder.write(
            "client.conf",
            """
            foreground = yes
            pid =
            socket = l:TCP_NODELAY=1
            socket = r:TCP_NODELAY=1
            [bench]
            client = yes
            accept = 127.0.0.1:\(port)
            connect = 127.0.0.1:\(server)

            """)
        let command = wrapper + ["/usr/bin/stunnel", file]
        return try await Peer(
            "stunnel", port: port,
            client: try ChildProcess(command[0], Array(command.dropFirst()), diesWithParent: true),
            folder: folder)
    }

    /// socat(1): a process a connection.
    static func socat(to server: UInt16) async throws -> Peer {
        let port = try freePort()
        let child = try ChildProcess(
            "/usr/bin/socat",
            [
                "-b", "65536", "TCP-LISTEN:\(port),bind=127.0.0.1,reuseaddr,fork,nodelay",
                "OPENSSL:127.0.0.1:\(server),verify=0,nodelay",
            ], diesWithParent: true)
        return try await Peer("socat", port: port, client: child, folder: TemporaryDirectory())
    }
}

/// One server and three ways to it: eiced, and the peers that are installed.
struct Paths: Sendable {
    let server: WorkServer
    let daemon: EicedDaemon
    let port: UInt16
    /// The one that the bars name.
    let stunnel: Peer
    let socat: Peer?

    init() async throws {
        guard Peer.isInstalled("stunnel") else { throw TestFailure("stunnel is not installed: make bench installs it") }
        server = try WorkServer()
        daemon = try await EicedDaemon.start(environment: server.environment, configuration: "")
        port = try await daemon.forward(to: server, WorkServer.workPort, name: "bench")
        stunnel = try await Peer.stunnel(to: server.plain.port)
        socat = Peer.isInstalled("socat") ? try await Peer.socat(to: server.plain.port) : nil
    }

    /// Who was left out, for the notes.
    var leftOut: String {
        let missing = socat == nil ? ", and socat, which is not installed here" : ""
        return "Not compared: websocat and the AWS CLI's open-tunnel, which Debian 12 does not have\(missing)."
    }
}
