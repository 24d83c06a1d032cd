import AWS
import Basics
import TestSupport
import Testing
import Transport

@testable import InstanceConnect

@Suite struct OpenTunnelURLTests {
    static let time = WallTime(secondsSinceEpoch: 1_440_938_160)
    static let token = "FwoGZXIvYXdzEBYaDExampleToken//+=="
    static let endpoint = Endpoint(
        id: "eice-0123456789abcdef0", dnsName: "eice-0123456789abcdef0.example.amazonaws.com", nearness: .pinned)

    static func route(_ address: String, port: UInt16 = 22) throws -> Route {
        Route(
            target: try Target(parsing: address), remotePort: port, address: address, region: "eu-west-1", profile: nil,
            path: Path(through: endpoint, region: "eu-west-1"))
    }

    static func credentials(token: String?) -> Credentials {
        Credentials(
            accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", sessionToken: token
        )
    }

    /// Signatures computed with botocore's SigV4QueryAuth, expires 60.
    @Test(
        arguments: [
            ("10.0.1.5", nil, "9528c72c601b2f933751fb66c660a68a7c74256ef4f22a3f09f97b407305554c"),
            ("2001:db8::5", nil, "0e76f8f23b027beb15f3fb8f775eee343ad2c3056f29bc9cbf4cc8a2ed16481e"),
            ("10.0.1.5", token, "065ce2ecc9b197d71c85fab1ad1e2c85b24eef8e16812e207c67d2b4fee52faf"),
            ("2001:db8::5", token, "8f78deac17a0239cfe5bb167316448eb721c4c839b00c744b997ed1b2fd0a466"),
        ] as [(String, String?, String)])
    func signaturesEqualBotocores(address: String, token: String?, signature: String) throws {
        let url = OpenTunnelURL(
            route: try Self.route(address), maxDuration: 3_600, credentials: Self.credentials(token: token),
            at: Self.time)
        #expect(url.host == Self.endpoint.dnsName)
        #expect(url.hostHeader == Self.endpoint.dnsName)
        #expect(url.pathAndQuery.hasPrefix("/openTunnel?X-Amz-Algorithm=AWS4-HMAC-SHA256&"))
        #expect(url.pathAndQuery.hasSuffix("&X-Amz-Signature=\(signature)"))
        #expect(url.pathAndQuery.contains("X-Amz-Security-Token=") == (token != nil))
    }

    @Test func theDurationIsAlwaysSentWithinTheServicesBounds() throws {
        for (asked, sent) in [(0, 1), (1, 1), (600, 600), (3_600, 3_600), (9_999, 3_600)] {
            let url = OpenTunnelURL(
                route: try Self.route("10.0.1.5"), maxDuration: asked, credentials: Self.credentials(token: nil),
                at: Self.time)
            #expect(url.pathAndQuery.contains("&maxTunnelDuration=\(sent)&"))
        }
    }

    @Test func descriptionsShowNoSecret() throws {
        let url = OpenTunnelURL(
            route: try Self.route("10.0.1.5"), maxDuration: 60, credentials: Self.credentials(token: Self.token),
            at: Self.time)
        var dumped = ""
        dump(url, to: &dumped)
        for text in ["\(url)", String(reflecting: url), dumped] {
            #expect(!text.contains("Signature="))
            #expect(!text.contains("FwoGZXIvYXdz"))
            #expect(text.contains("10.0.1.5:22"))
        }
    }

    @Test(.enabled(if: Sanitizer.isAbsent, "a sanitizer makes it slower by an order of magnitude"))
    func aHundredUrlsAreSignedWellBelowAMillisecondEach() throws {
        let route = try Self.route("10.0.1.5")
        let credentials = Self.credentials(token: Self.token)
        let time = ContinuousClock().measure {
            for _ in 0..<100 {
                _ = OpenTunnelURL(route: route, maxDuration: 60, credentials: credentials, at: Self.time)
            }
        }
        // A debug build on a busy machine; the release figure (50 µs) stands in the benchmark.
        #expect(time / 100 < .milliseconds(5))
    }
}
