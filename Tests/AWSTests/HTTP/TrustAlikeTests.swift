import BadTLS
import Failures
import FoundationEssentials
import OpenSSL
import SecureSocket
import Synchronization
import TestSupport
import Testing

@testable import AWS

/// Tunnels verify with OpenSSL, API calls with libcurl: each bundle is tried with both.
@Suite struct TrustAlikeTests {
    private let folder: TemporaryDirectory
    private let now = Int64(Date().timeIntervalSince1970)
    private let root: IssuedCertificate
    private let middle: IssuedCertificate
    private let leaf: IssuedCertificate

    init() throws {
        folder = try TemporaryDirectory("trust")
        root = try CertificateIssuer.issue(.authority(commonName: "Root", now: now, pathLength: nil))
        middle = try CertificateIssuer.issue(.authority(commonName: "Middle", now: now), by: root)
        leaf = try CertificateIssuer.issue(
            .server(commonName: "leaf", names: [.dns("localhost")], now: now), by: middle)
    }

    // MARK: The two clients

    private struct Verdicts: Equatable {
        /// Why a client refused; nil where it did not.
        var tunnel: String?
        var call: String?
    }

    private func verdicts(of chain: [IssuedCertificate], trusting bundle: String) async throws -> Verdicts {
        let server = try LoopbackServer { socket in
            _ = try BadTLSServer.shakeHands(over: socket, BadTLSServer.Settings(chain: chain))
        }
        let path = try folder.write("bundle.pem", bundle)
        return Verdicts(
            tunnel: try await onThread { try Self.tunnel(to: server.port, trusting: path) },
            call: await Self.call(to: server.port, trusting: path)?.why)
    }

    private static func tunnel(to port: UInt16, trusting path: String) throws -> String? {
        let context = try TLSContext(trustingFile: path)
        let socket = try LoopbackSocket.connect(port: port)
        defer { socket.close() }
        let tls = BlockingTLS(
            try TLSSession(context: context, serverName: "localhost", port: port),
            receive: { try socket.read(into: $0) }, send: { try socket.write($0) })
        do {
            try tls.handshake()
            return nil
        } catch let error as TLSError {
            return error.reason
        }
    }

    private static let client = HTTPClient()

    private static func call(to port: UInt16, trusting path: String) async -> Failure? {
        let request = HTTPRequest(
            url: "https://localhost:\(port)/", timeout: .seconds(60), trustRoots: path, purpose: "call")
        do throws(Failure) {
            _ = try await client.send(request)
            return nil
        } catch {
            // The server ends the connection once it was taken.
            return error.kind == .tls ? error : nil
        }
    }

    // MARK: Bundles

    /// As `openssl x509` marks it.
    private func marked(_ certificate: IssuedCertificate, _ arguments: String...) async throws -> String {
        let path = try folder.write("plain.pem", certificate.certificate)
        let command = try ChildProcess(
            "/usr/bin/openssl", ["x509", "-in", path, "-trustout"] + arguments, diesWithParent: true)
        let result = try await command.result(of: "openssl x509")
        try #require(result.output.contains("BEGIN TRUSTED CERTIFICATE"), "\(result)")
        return result.output
    }

    private func authority(_ name: String, validity: ClosedRange<Int64>, by: IssuedCertificate? = nil) throws
        -> IssuedCertificate
    {
        var template = CertificateTemplate.authority(commonName: name, now: now, pathLength: nil)
        (template.notBefore, template.notAfter) = (validity.lowerBound, validity.upperBound)
        return try CertificateIssuer.issue(template, by: by)
    }

    @Test("tunnels and API calls take and refuse the same bundles")
    func bundles() async throws {
        let past = now - 90 * 86_400...now - 86_400
        let oldRoot = try authority("Old root", validity: past)
        let middleOfOld = try CertificateIssuer.issue(.authority(commonName: "Middle of old", now: now), by: oldRoot)
        let leafOfOld = try CertificateIssuer.issue(
            .server(commonName: "leaf", names: [.dns("localhost")], now: now), by: middleOfOld)
        let oldMiddle = try authority("Old middle", validity: past, by: root)
        let leafOfOldMiddle = try CertificateIssuer.issue(
            .server(commonName: "leaf", names: [.dns("localhost")], now: now), by: oldMiddle)
        let impostor = try CertificateIssuer.issue(.authority(commonName: "Root", now: now, pathLength: nil))
        let below = try CertificateIssuer.issue(
            .server(commonName: "below", names: [.dns("localhost")], now: now), by: leaf)
        let chain = [leaf, middle]
        let cases: [(name: String, bundle: String, chain: [IssuedCertificate], isTaken: Bool)] = [
            ("the root", root.certificate, chain, true),
            ("the intermediate alone", middle.certificate, chain, true),
            ("the intermediate alone, which is not sent", middle.certificate, [leaf], true),
            ("the leaf alone", leaf.certificate, chain, true),
            ("the leaf alone, sent alone", leaf.certificate, [leaf], true),
            ("the root, without what is between", root.certificate, [leaf], false),
            (
                "an expired root with a valid intermediate", oldRoot.certificate + middleOfOld.certificate,
                [leafOfOld, middleOfOld], true
            ),
            ("an expired root alone", oldRoot.certificate, [leafOfOld, middleOfOld], false),
            ("an expired intermediate alone", oldMiddle.certificate, [leafOfOldMiddle, oldMiddle], false),
            (
                "an expired intermediate with its root", root.certificate + oldMiddle.certificate,
                [leafOfOldMiddle, oldMiddle], false
            ),
            ("another root of the same name", impostor.certificate, chain, false),
            ("a leaf that signed another", leaf.certificate, [below, leaf], false),
            (
                "an intermediate rejected for servers", try await marked(middle, "-addreject", "serverAuth"), chain,
                false
            ),
            ("an intermediate trusted for clients", try await marked(middle, "-addtrust", "clientAuth"), chain, false),
            ("an intermediate trusted for servers", try await marked(middle, "-addtrust", "serverAuth"), chain, true),
            ("a leaf rejected for servers", try await marked(leaf, "-addreject", "serverAuth"), chain, false),
            (
                "a root rejected for servers with a good intermediate",
                try await marked(root, "-addreject", "serverAuth") + middle.certificate, chain, true
            ),
        ]
        for example in cases {
            let found = try await verdicts(of: example.chain, trusting: example.bundle)
            #expect((found.tunnel == nil) == example.isTaken, "\(example.name), the tunnel: \(found)")
            #expect((found.call == nil) == example.isTaken, "\(example.name), the API call: \(found)")
        }
    }

    @Test("a bundle that has changed is read again")
    func changedBundle() async throws {
        let other = try CertificateIssuer.issue(.authority(commonName: "Other root", now: now))
        #expect(try await verdicts(of: [leaf, middle], trusting: root.certificate) == Verdicts())
        let found = try await verdicts(of: [leaf, middle], trusting: other.certificate)
        #expect(found.tunnel != nil && found.call != nil, "\(found)")
        #expect(try await verdicts(of: [leaf, middle], trusting: root.certificate) == Verdicts())
    }

    // MARK: Time

    @Test("a certificate outside its time names the clock first", arguments: [true, false])
    func time(isEarly: Bool) async throws {
        var template = CertificateTemplate.server(commonName: "leaf", names: [.dns("localhost")], now: now)
        (template.notBefore, template.notAfter) =
            isEarly ? (1_893_456_000, 1_924_992_000) : (1_546_300_800, 1_577_836_799)
        let outside = try CertificateIssuer.issue(template, by: middle)
        let found = try await verdicts(of: [outside, middle], trusting: root.certificate)
        let start =
            isEarly
            ? "the certificate is not valid yet: it begins at 2030-01-01T00:00:00Z, and this machine's clock says 2"
            : "the certificate has expired: it ended at 2019-12-31T23:59:59Z, and this machine's clock says 2"
        #expect(found.tunnel?.hasPrefix(start) == true, "\(found)")
        #expect(found.call?.hasPrefix(start) == true, "\(found)")
        let server = try LoopbackServer { socket in
            _ = try BadTLSServer.shakeHands(over: socket, BadTLSServer.Settings(chain: [outside, self.middle]))
        }
        let path = try folder.write("bundle.pem", root.certificate)
        let failure = await Self.call(to: server.port, trusting: path)
        #expect(failure?.hint?.hasPrefix("check this machine's clock") == true, "\(String(describing: failure))")
    }
}
