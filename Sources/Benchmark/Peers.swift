import FoundationEssentials
import Glibc
import OpenSSL
import TestSupport

/// Another program that carries a local port to the target over TLS, for comparison.
final class Peer: Sendable {
    let name: String
    let port: UInt16
    /// The process on the client's side, whose work is what eiced's is compared with.
    let client: ChildProcess
    /// Whether all of its work is done by that one process.
    let isOneProcess: Bool
    private let folder: TemporaryDirectory

    private init(
        _ name: String, port: UInt16, client: ChildProcess, isOneProcess: Bool, folder: TemporaryDirectory
    ) async throws {
        self.name = name
        self.port = port
        self.client = client
        self.isOneProcess = isOneProcess
        self.folder = folder
        try await eventually("\(name) listens") {
            if let exit = client.exit { throw TestFailure("\(name) ended with \(exit): \(client.standardError)") }
            return (try? LoopbackSocket.connect(port: port)) != nil
        }
    }

    static func isInstalled(_ program: String) -> Bool { access("/usr/bin/\(program)", X_OK) == 0 }

    /// stunnel(8) as a client: plain TLS, a thread a connection.
    static func stunnel(to server: TLSServer) async throws -> Peer {
        let folder = try TemporaryDirectory("stunnel")
        let port = try freePort()
        let file = try folder.write(
            "client.conf", TLSServer.section(accept: port, connect: server.port, "client = yes"))
        return try await Peer(
            "stunnel", port: port, client: try ChildProcess("/usr/bin/stunnel", [file], diesWithParent: true),
            isOneProcess: true, folder: folder)
    }

    /// socat(1): a process a connection.
    static func socat(to server: TLSServer) async throws -> Peer {
        let port = try freePort()
        let child = try ChildProcess(
            "/usr/bin/socat",
            [
                "-b", "65536", "TCP-LISTEN:\(port),bind=127.0.0.1,reuseaddr,fork,nodelay",
                "OPENSSL:127.0.0.1:\(server.port),verify=0,nodelay",
            ], diesWithParent: true)
        return try await Peer("socat", port: port, client: child, isOneProcess: false, folder: TemporaryDirectory())
    }
}

/// What the peers connect to: stunnel as a TLS server before the target.
final class TLSServer: Sendable {
    let port: UInt16
    private let child: ChildProcess
    private let folder: TemporaryDirectory

    init(before target: UInt16) async throws {
        folder = try TemporaryDirectory("server")
        let port = try freePort()
        self.port = port
        let now = Int64(Date().timeIntervalSince1970)
        let authority = try CertificateIssuer.issue(.authority(commonName: "Bench CA", now: now))
        let leaf = try CertificateIssuer.issue(
            .server(commonName: "bench", names: [.address([127, 0, 0, 1])], now: now), by: authority)
        let certificate = try folder.write("server.pem", leaf.certificate + leaf.privateKey)
        let file = try folder.write(
            "server.conf", Self.section(accept: port, connect: target, "cert = \(certificate)"))
        child = try ChildProcess("/usr/bin/stunnel", [file], diesWithParent: true)
        try await eventually("the TLS server listens") { (try? LoopbackSocket.connect(port: port)) != nil }
    }

    static func section(accept: UInt16, connect: UInt16, _ further: String) -> String {
        """
        foreground = yes
        pid =
        socket = l:TCP_NODELAY=1
        socket = r:TCP_NODELAY=1
        [bench]
        accept = 127.0.0.1:\(accept)
        connect = 127.0.0.1:\(connect)
        \(further)

        """
    }
}

/// A target and three ways to it: eiced through the emulator, and the peers that are installed.
struct Paths: Sendable {
    static let instance = "i-0be1c000000000001"

    let target: WorkTarget
    let emulator: Emulator
    let daemon: EicedDaemon
    let port: UInt16
    /// The one that the bars name.
    let stunnel: Peer
    let socat: Peer?

    init() async throws {
        target = try WorkTarget()
        guard Peer.isInstalled("stunnel") else { throw TestFailure("stunnel is not installed: make deps") }
        emulator = try await Emulator.start(
            inventory: #"{"instances": [{"id": "\#(Self.instance)", "privateIp": "10.0.0.5"}],"#
                + #" "targets": {"10.0.0.5:22": "127.0.0.1:\#(target.port)"}}"#)
        daemon = try await EicedDaemon.start(environment: emulator.environment, configuration: "")
        port = try await daemon.forward(Self.instance, name: "bench")
        let server = try await TLSServer(before: target.port)
        self.server = server
        stunnel = try await Peer.stunnel(to: server)
        socat = Peer.isInstalled("socat") ? try await Peer.socat(to: server) : nil
    }

    private let server: TLSServer

    /// Who was left out, for the notes.
    var leftOut: String {
        "Not compared: websocat and the AWS CLI\(socat == nil ? ", and socat, which is not installed here" : "")."
    }
}
