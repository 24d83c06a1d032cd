import Basics
import Failures
import Glibc
import OpenSSL
import SocketIO
import TestSupport
import Testing

@testable import SecureSocket

@Suite struct HostConnectTests {
    private struct Outcome: Sendable {
        var reachedProxy = false
        var descriptor: FileDescriptor?
        var leadsThroughTLS = false
        var failure: Failure?
    }

    /// What became of a connect to a loopback port.
    private func connect(
        to port: UInt16, through proxy: String? = nil, trusting tls: TLSContext? = nil, refusal: Failure? = nil
    ) async throws -> Outcome {
        let loop = try Loop(label: "test")
        let settings = HostConnect.Settings(
            resolver: Resolver(), proxies: ProxySettings { $0 == "https_proxy" ? proxy : nil },
            tls: tls ?? TLSContext(), userAgent: "test")
        return await handedOver { done in
            loop.submit { loop in
                var outcome = Outcome()
                // The closure keeps it until it is done.
                var connect: HostConnect?
                connect = HostConnect(
                    to: HostAndPort(host: "127.0.0.1", port: port), called: "the host", refusal: refusal,
                    settings: settings, on: loop
                ) { event in
                    switch event {
                    case .reachedProxy: outcome.reachedProxy = true
                    case .done(.success(.socket(let descriptor))): outcome.descriptor = descriptor
                    case .done(.success(.proxy(let connection))):
                        outcome.leadsThroughTLS = true
                        connection.close(on: loop)
                    case .done(.failure(let failure)): outcome.failure = failure
                    }
                    guard case .done = event else { return }
                    withExtendedLifetime(connect) { done(outcome) }
                    connect = nil
                }
            }
        }
    }

    private func echo(over outcome: Outcome) async throws -> String {
        let descriptor = try #require(outcome.descriptor)
        return try await onThread {
            let flags = fcntl(descriptor.raw, F_GETFL)
            _ = fcntl(descriptor.raw, F_SETFL, flags & ~O_NONBLOCK)
            let socket = LoopbackSocket(takingOwnership: descriptor.take())
            try socket.write("hello")
            return String(decoding: try socket.read(exactly: 5), as: UTF8.self)
        }
    }

    @Test func connectsDirectlyAndThroughAProxy() async throws {
        let server = try LoopbackServer.echo()
        let direct = try await connect(to: server.port)
        #expect(!direct.reachedProxy)
        #expect(try await echo(over: direct) == "hello")
        let proxy = try ConnectProxy()
        let proxied = try await connect(to: server.port, through: "http://127.0.0.1:\(proxy.port)")
        #expect(proxied.reachedProxy)
        #expect(try await echo(over: proxied) == "hello")
    }

    @Test func connectsThroughAProxyThatSpeaksTLS() async throws {
        let certificates = try Certificates()
        let proxy = try LoopbackServer { socket in
            let tls = try certificates.server(socket)
            #expect(String(decoding: try tls.read(), as: UTF8.self).hasPrefix("CONNECT 127.0.0.1:9 HTTP/1.1\r\n"))
            try tls.write(Array("HTTP/1.1 200 OK\r\n\r\n".utf8))
            _ = try? tls.read()
        }
        let url = "https://127.0.0.1:\(proxy.port)"
        let outcome = try await connect(to: 9, through: url, trusting: certificates.roots)
        #expect(outcome.reachedProxy && outcome.leadsThroughTLS)
        let failure = try await connect(to: 9, through: url).failure
        #expect(failure?.kind == .tls)
    }

    @Test func aProxysRefusalShowsNoPassword() async throws {
        let proxy = try LoopbackServer { socket in
            var head = ""
            while !head.hasSuffix("\r\n\r\n") { head += try socket.readText(upTo: 1) }
            let sent = head.split(separator: "\r\n").first { $0.hasPrefix("Proxy-Authorization") } ?? ""
            try socket.write("HTTP/1.1 407 \(sent) ann:s3cretpassword\r\n\r\n")
        }
        let failure = try await connect(to: 9, through: "http://ann:s3cretpassword@127.0.0.1:\(proxy.port)").failure
        #expect(failure?.kind == .accessDenied)
        let shown = "\(failure as Any)"
        #expect(!shown.contains("s3cret") && !shown.contains(Base64.encode(Array("ann:s3cretpassword".utf8))))
    }

    @Test func refusalsAndClosedPortsAreReported() async throws {
        let refusal = Failure(.configuration, "no such host")
        #expect(try await connect(to: 9, refusal: refusal).failure == refusal)
        let port = try freePort()
        let failure = try await connect(to: port).failure
        #expect(failure?.kind == .cannotConnect)
        #expect(failure?.what == "cannot connect to the host at 127.0.0.1:\(port)")
    }
}

/// A server certificate for 127.0.0.1, and who signed it.
struct Certificates: Sendable {
    let roots: TLSContext
    let context: TLSContext
    /// Read when the roots are first used.
    private let folder: TemporaryDirectory

    init() throws {
        let now = Int64(time(nil))
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let leaf = try CertificateIssuer.issue(
            .server(commonName: "server", names: [.address([127, 0, 0, 1])], now: now), by: authority)
        folder = try TemporaryDirectory()
        roots = try TLSContext(trustingFile: try folder.write("ca.pem", authority.certificate))
        context = try TLSContext(certificateChain: leaf.certificate, privateKey: leaf.privateKey)
    }

    /// The server's side of TLS after its handshake.
    func server(_ socket: LoopbackSocket) throws -> BlockingTLS {
        let tls = BlockingTLS(
            try TLSSession(server: context), receive: { try socket.read(into: $0) }, send: { try socket.write($0) })
        try tls.handshake()
        return tls
    }

    /// The client's side.
    func client(_ socket: LoopbackSocket) throws -> BlockingTLS {
        let tls = BlockingTLS(
            try TLSSession(context: roots, serverName: "127.0.0.1"), receive: { try socket.read(into: $0) },
            send: { try socket.write($0) })
        try tls.handshake()
        return tls
    }
}
