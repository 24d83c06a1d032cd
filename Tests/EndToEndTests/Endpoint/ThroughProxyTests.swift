import ControlProtocol
import FoundationEssentials
import OpenSSL
import TestSupport
import Testing

/// Tunnels and API calls through a real HTTP proxy.
@Suite(.enabled("tinyproxy or stunnel is not installed here") { Tinyproxy.canSpeakTLS })
struct ThroughProxyTests {
    enum Kind: String, CaseIterable {
        case open, withPassword, tls
    }

    @Test(arguments: Kind.allCases)
    func aTunnelCarriesEverythingAndLeavesNothing(_ kind: Kind) async throws {
        let echo = try LoopbackServer.echo()
        let certificate = try Certificate()
        let proxy = try await Tinyproxy.start(
            login: kind == .withPassword ? "ann:s3cret" : nil, certificate: kind == .tls ? certificate.chainAndKey : nil
        )
        try await Scene.play(
            port: echo.port, environment: ["https_proxy": proxy.url, "http_proxy": proxy.url],
            trusting: kind == .tls ? certificate.authority : nil
        ) { scene in
            let forward = try await scene.add()
            try await Self.exchange(through: forward)
            try await scene.daemon.waitForTunnels(open: 0)
            let facts = scene.daemon.process.facts
            let before = try #require(facts.descriptorCount)
            for _ in 0..<3 { try await Self.exchange(through: forward) }
            try await scene.daemon.waitForTunnels(open: 0)
            try await eventually("descriptors are back") { try #require(facts.descriptorCount) <= before }

            #expect(proxy.requests(to: try scene.emulator.port(in: "EICED_CONNECT_TO")) == 4)
            #expect(proxy.requests(to: try scene.emulator.port(in: "AWS_ENDPOINT_URL_EC2")) > 0)
            let phases = try await scene.daemon.eicectl("metrics").output
            #expect(phases.contains("eiced_dial_duration_seconds_count{phase=\"proxy\"} 4"), "\(phases)")
        }
    }

    @Test func sparesAndWarmTunnelsGoThroughItAsWell() async throws {
        let greeter = try LoopbackServer.greeter()
        let proxy = try await Tinyproxy.start()
        try await Scene.play(port: greeter.port, environment: ["https_proxy": proxy.url], pool: "spares = 1") { scene in
            let tunnels = try scene.emulator.port(in: "EICED_CONNECT_TO")
            let forward = try await scene.add(Scene.web, "--warm", "1")
            let client = try await Scene.connect(forward)
            #expect(try await onThread { try client.readLine() }.hasPrefix("SSH-2.0"))
            // The one that serves, the spare that is kept, and the warm one.
            try await eventually("the spare and the warm tunnel are there") { proxy.requests(to: tunnels) >= 3 }
            client.close()
        }
    }

    @Test func whatNoProxyNamesIsReachedDirectly() async throws {
        let echo = try LoopbackServer.echo()
        let dead = "http://127.0.0.1:\(try freePort())"
        try await Scene.play(
            port: echo.port, environment: ["https_proxy": dead, "http_proxy": dead, "no_proxy": "127.0.0.0/8"]
        ) { scene in
            try await Self.exchange(through: try await scene.add())
        }
    }

    // MARK: What can go wrong

    struct Mishap: Sendable, CustomTestStringConvertible {
        var name: String
        var code: Int32
        var sentence: String
        var start: @Sendable () async throws -> (url: String, keptAlive: any Sendable)

        var testDescription: String { name }
    }

    static let mishaps = [
        Mishap(name: "wrong password", code: 77, sentence: "refused 127.0.0.1: HTTP 401") {
            let proxy = try await Tinyproxy.start(login: "ann:s3cret")
            return ("http://ann:wr0ng@127.0.0.1:\(proxy.port)", proxy)
        },
        Mishap(name: "no password", code: 77, sentence: "give the proxy's user name and password in HTTPS_PROXY") {
            let proxy = try await Tinyproxy.start(login: "ann:s3cret")
            return ("http://127.0.0.1:\(proxy.port)", proxy)
        },
        Mishap(name: "port not allowed", code: 77, sentence: "the proxy must allow CONNECT to 127.0.0.1") {
            let proxy = try await Tinyproxy.start(settings: "ConnectPort 443")
            return (proxy.url, proxy)
        },
        Mishap(name: "nobody listens", code: 75, sentence: "cannot connect to proxy http://127.0.0.1:") {
            ("http://127.0.0.1:\(try freePort())", 0)
        },
        Mishap(
            name: "unknown name", code: 75, sentence: "cannot resolve proxy.invalid of proxy http://proxy.invalid:3128"
        ) {
            ("http://proxy.invalid:3128", 0)
        },
        Mishap(name: "silent", code: 75, sentence: "the proxy's CONNECT for") {
            let silent = try LoopbackServer.silent()
            return ("http://127.0.0.1:\(silent.port)", silent)
        },
        Mishap(name: "silent under TLS", code: 75, sentence: "the proxy's CONNECT for") {
            let silent = try LoopbackServer.silent()
            return ("https://127.0.0.1:\(silent.port)", silent)
        },
        Mishap(name: "closes", code: 75, sentence: "ended the connection before its answer") {
            let server = try LoopbackServer { _ = try $0.readLine() }
            return ("http://127.0.0.1:\(server.port)", server)
        },
        Mishap(name: "not a proxy", code: 76, sentence: "gave no valid answer to CONNECT: this is not HTTP") {
            let server = try LoopbackServer.greeter()
            return ("http://127.0.0.1:\(server.port)", server)
        },
        Mishap(name: "no TLS", code: 76, sentence: "TLS with proxy https://127.0.0.1:") {
            let server = try LoopbackServer.greeter()
            return ("https://127.0.0.1:\(server.port)", server)
        },
        Mishap(name: "SOCKS", code: 78, sentence: "tunnels go through http and https proxies only, not socks5") {
            ("socks5://127.0.0.1:1080", 0)
        },
    ]

    @Test(arguments: mishaps)
    func aProxyThatFailsIsNamedWithoutItsPassword(_ mishap: Mishap) async throws {
        let greeter = try LoopbackServer.greeter()
        let (url, proxy) = try await mishap.start()
        try await Scene.play(port: greeter.port, environment: ["https_proxy": url], timeouts: ["proxy": "2s"]) {
            scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(result.code == mishap.code, "\(result)")
            #expect(result.errors.contains(mishap.sentence), "\(result)")
            #expect(!result.errors.contains("wr0ng") && !scene.daemon.log.contains("wr0ng"))
            #expect(try await scene.daemon.status().endpoints.allSatisfy { $0.slots.inUse == 0 })
        }
        withExtendedLifetime(proxy) {}
    }

    // MARK: Parts

    /// Sends a lot and gets it back, whole.
    private static func exchange(through forward: ForwardInfo) async throws {
        let client = try await Scene.connect(forward)
        let pattern = Pattern()
        let count = 3_000_000
        async let sent: Void = onThread { try pattern.send(count, on: client) }
        #expect(try await onThread { try pattern.verify(count, from: client) } == count)
        try await sent
        client.close()
    }

    /// An authority of its own, and a certificate for 127.0.0.1.
    private struct Certificate {
        let authority: String
        let chainAndKey: String

        init() throws {
            let now = Int64(Date().timeIntervalSince1970)
            let issuer = try CertificateIssuer.issue(.authority(commonName: "Proxy CA", now: now))
            let leaf = try CertificateIssuer.issue(
                .server(commonName: "proxy", names: [.address([127, 0, 0, 1])], now: now), by: issuer)
            authority = issuer.certificate
            chainAndKey = leaf.certificate + leaf.privateKey
        }
    }
}
