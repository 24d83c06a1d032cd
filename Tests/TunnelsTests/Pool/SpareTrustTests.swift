import AWS
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import TestSupport
import Testing
import Transport

@testable import InstanceConnect
@testable import Tunnels

/// A spare was verified by the trust roots of the dial that it was made for: it serves no dial that trusts others.
@Suite struct SpareTrustTests {
    private struct Shared: Equatable, Sendable {
        var withItself: Bool
        var withOtherTrust: Bool
        var withOtherName: Bool
        var withOtherPort: Bool
        var withItselfAgain: Bool
    }

    @Test("dials that trust different CA bundles never share a spare, nor do dials to different names or ports")
    func trust() async throws {
        let folder = try TemporaryDirectory()
        let authority = try #require(TestCertificates.authority)
        let paths = try ["one.pem", "two.pem"].map { try folder.write($0, authority.certificate) }
        let contexts = try paths.map { try TLSContext(trustingFile: $0) }
        try #require(contexts.count == 2)
        let (one, other) = (contexts[0], contexts[1])
        let shared = await Bench.run(on: try Loop(label: "test")) { _ in
            let settings = InstanceConnectSettings(
                resolver: Resolver(), tls: one, connectTo: nil, proxies: ProxySettings { _ in nil },
                userAgent: "eiced/test")
            let dialer = EndpointDialer(
                router: ScriptedRouter(), settings: settings, handshakes: Handshakes(),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            func spares(_ name: String = "a.test", port: UInt16 = 443, trusting roots: TLSContext = one) -> Spares {
                let endpoint = Endpoint(id: "eice-1", dnsName: name, port: port, nearness: .sameSubnet)
                return dialer.spares(
                    of: EndpointName(Path(through: endpoint, region: "eu-west-1")), trusting: roots)
            }
            let first = spares()
            return Shared(
                withItself: first === spares(),
                withOtherTrust: first === spares(trusting: other),
                withOtherName: first === spares("b.test"),
                withOtherPort: first === spares(port: 8_443),
                withItselfAgain: first === spares())
        }
        #expect(
            shared
                == Shared(
                    withItself: true, withOtherTrust: false, withOtherName: false, withOtherPort: false,
                    withItselfAgain: true))
    }

    @Test("a dial with other trust roots verifies the endpoint itself instead of taking a spare")
    func dialWithOtherTrust() async throws {
        let folder = try TemporaryDirectory()
        let stranger = try #require(TestCertificates.untrusted)
        let other = try TLSContext(trustingFile: try folder.write("ca.pem", stranger.certificate))
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, spares: 1)
        let port = try await bench.forward()
        func echo() async throws {
            let answer = try await onThread {
                let socket = try LoopbackSocket.connect(port: port)
                try socket.write("ping")
                return try socket.read(exactly: 4)
            }
            #expect(answer == Array("ping".utf8))
        }
        try await echo()
        try await eventually("a spare is ready") { await bench.spareCount() == 1 }
        #expect(try await bench.ends(1) == [.localClosed])
        bench.router.trust(other)
        let (_, client) = try await bench.connect(waitsForTarget: false)
        #expect(try await client.failure().failure?.kind == .tls)
        #expect(await bench.spareCount() == 1)
        bench.router.trust(nil)
        try await echo()
        #expect(try await bench.ends(3).last == .localClosed)
    }
}
