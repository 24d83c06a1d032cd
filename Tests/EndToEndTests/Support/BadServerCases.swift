import BadTLS
import FoundationEssentials
import OpenSSL
import TestSupport

/// A server that must be refused, and the words that say why.
struct BadServer: Sendable {
    let name: String
    /// Part of what a person is told. Each is the reason of this fault and of no other kind.
    let reason: String
    let serve: @Sendable (LoopbackSocket) throws -> Void

    /// One that answers with an ordinary handshake of bad content.
    static func tls(_ name: String, _ reason: String, _ settings: BadTLSServer.Settings) -> BadServer {
        BadServer(name: name, reason: reason) { socket in
            if try BadTLSServer.shakeHands(over: socket, settings) {
                throw TestFailure("the client took a server with \(name)")
            }
        }
    }

    /// One that answers the first bytes with these.
    static func bytes(_ name: String, _ reason: String, _ bytes: [UInt8], thenEnds: Bool = false) -> BadServer {
        BadServer(name: name, reason: reason) { socket in
            _ = try socket.read()
            try socket.write(bytes)
            if thenEnds { socket.shutdownWrite() }
            while try !socket.read().isEmpty {}
        }
    }
}

/// The certificates of the cases: a root that the daemon trusts, and all that can be wrong below it.
struct BadCertificates {
    let name = RogueEndpoint.name
    let now = Int64(Date().timeIntervalSince1970)
    let root: IssuedCertificate
    /// Of the same name as `root`, with another key.
    let impostor: IssuedCertificate
    private let day: Int64 = 86_400

    init() throws {
        let template = CertificateTemplate.authority(
            commonName: "Bad Servers' Root", now: Int64(Date().timeIntervalSince1970), pathLength: nil)
        root = try CertificateIssuer.issue(template)
        impostor = try CertificateIssuer.issue(template)
    }

    private typealias Change = (inout CertificateTemplate) -> Void

    private func leaf(
        by authority: IssuedCertificate? = nil, _ change: Change = { _ in }
    ) throws -> IssuedCertificate {
        var template = CertificateTemplate.server(commonName: "server", names: [.dns(name)], now: now)
        change(&template)
        return try CertificateIssuer.issue(template, by: authority ?? root)
    }

    private func middle(
        by authority: IssuedCertificate? = nil, pathLength: Int? = 0, _ change: Change = { _ in }
    ) throws -> IssuedCertificate {
        var template = CertificateTemplate.authority(commonName: "Middle", now: now, pathLength: pathLength)
        change(&template)
        return try CertificateIssuer.issue(template, by: authority ?? root)
    }

    /// A good leaf of a middle that is not.
    private func below(_ middle: IssuedCertificate) throws -> BadTLSServer.Settings {
        .init(chain: [try leaf(by: middle), middle])
    }

    private func alone(_ leaf: IssuedCertificate) -> BadTLSServer.Settings { .init(chain: [leaf]) }

    private static func replace(_ name: String, _ value: String, in template: inout CertificateTemplate) {
        template.extensions = template.extensions.filter { entry in
            if case .text(name, _) = entry { false } else { true }
        }
        if !value.isEmpty { template.extensions.append(.text(name, value)) }
    }

    // MARK: Time and trust

    func times() throws -> [BadServer] {
        let past = { (template: inout CertificateTemplate) in
            (template.notBefore, template.notAfter) = (now - 90 * day, now - day)
        }
        let future = { (template: inout CertificateTemplate) in
            (template.notBefore, template.notAfter) = (now + day, now + 90 * day)
        }
        return [
            .tls("expired leaf", "has expired", alone(try leaf(past))),
            .tls("leaf not yet valid", "is not valid yet", alone(try leaf(future))),
            .tls("expired intermediate", "has expired", try below(middle(past))),
            .tls("intermediate not yet valid", "is not valid yet", try below(middle(future))),
        ]
    }

    func trust() throws -> [BadServer] {
        let absent = try middle()
        let selfSigned = try CertificateIssuer.issue(
            CertificateTemplate.server(commonName: "server", names: [.dns(name)], now: now))
        return [
            .tls("self-signed", "not trusted (self-signed certificate)", alone(selfSigned)),
            .tls("root of the same name", "not trusted", alone(try leaf(by: impostor))),
            .tls(
                "root of the same name, sent along", "not trusted",
                .init(chain: [try leaf(by: impostor), impostor])),
            .tls("missing intermediate", "unable to get local issuer certificate", alone(try leaf(by: absent))),
            .tls("signature of another", "certificate signature failure", alone(try BadTLSServer.tampered(leaf()))),
        ]
    }

    // MARK: Names

    func names() throws -> [BadServer] {
        let parts = name.split(separator: ".").map(String.init)
        let parent = parts.dropFirst().joined(separator: ".")
        let forms: [(String, [CertificateTemplate.Name])] = [
            ("another name", [.dns("other.\(parent)")]),
            ("the name as a suffix", [.dns("evil\(name)")]),
            ("the name as a prefix", [.dns("\(name).example.com")]),
            ("a name below it", [.dns("a.\(name)")]),
            ("its parent", [.dns(parent)]),
            ("an address for a name", [.address([127, 0, 0, 1])]),
            ("an address written as a name", [.dns("127.0.0.1")]),
            ("the wildcard of everything", [.dns("*")]),
            ("the wildcard of a top level", [.dns("*.com")]),
            ("a wildcard over two labels", [.dns("*." + parts.dropFirst(2).joined(separator: "."))]),
            ("two wildcards", [.dns("*.*." + parts.dropFirst(2).joined(separator: "."))]),
            ("a wildcard within a label", [.dns("rog*.\(parent)")]),
            ("a wildcard that is not first", [.dns("rogue.*." + parts.dropFirst(2).joined(separator: "."))]),
            ("a NUL after the name", [.raw(tag: 2, Array("\(name)\0.example.com".utf8))]),
            ("a NUL before the name", [.raw(tag: 2, Array("\0\(name)".utf8))]),
            ("a blank after the name", [.dns("\(name) ")]),
            ("the name as an e-mail address", [.raw(tag: 1, Array("root@\(name)".utf8))]),
            ("the name in a URI", [.raw(tag: 6, Array("https://\(name)/".utf8))]),
        ]
        var cases = try forms.map { form, names in
            BadServer.tls(form, "is for another name", alone(try leaf { $0.names = names }))
        }
        cases.append(
            .tls(
                "the name in the subject alone", "is for another name",
                alone(
                    try leaf { template in
                        template.names = []
                        template.commonName = name
                    })))
        cases.append(
            .tls(
                "the name in the subject beside others", "is for another name",
                alone(
                    try leaf { template in
                        template.names = [.dns("other.example.com")]
                        template.commonName = name
                    })))
        return cases
    }

    // MARK: What a certificate may

    func rights() throws -> [BadServer] {
        let plain = try leaf { $0.names = [.dns("issuer.example.com")] }
        let unsigning = try middle { Self.replace("keyUsage", "critical,digitalSignature", in: &$0) }
        let short = try middle(pathLength: 0)
        let long = try middle(by: short, pathLength: 0) { $0.commonName = "Second middle" }
        let critical = CertificateTemplate.Extension.der(
            identifier: "1.3.6.1.4.1.99999.1", critical: true, value: [5, 0])
        let purpose = "unsuitable certificate purpose"
        return [
            .tls(
                "for clients only", purpose,
                alone(try leaf { Self.replace("extendedKeyUsage", "clientAuth", in: &$0) })),
            .tls(
                "for code only", purpose,
                alone(try leaf { Self.replace("extendedKeyUsage", "codeSigning", in: &$0) })),
            .tls(
                "a key that may only sign lists", purpose,
                alone(try leaf { Self.replace("keyUsage", "critical,cRLSign", in: &$0) })),
            .tls("an issuer that is no authority", "invalid CA certificate", try below(plain)),
            .tls(
                "an issuer that does not say what it is", "invalid CA certificate",
                try below(
                    middle {
                        Self.replace("basicConstraints", "", in: &$0)
                        Self.replace("keyUsage", "", in: &$0)
                    })),
            .tls("an authority that may not sign", "not accepted", try below(unsigning)),
            .tls(
                "a path that is too long", "path length constraint exceeded",
                .init(chain: [try leaf(by: long), long, short])),
            .tls(
                "outside the names an authority may", "permitted subtree violation",
                try below(
                    middle { $0.extensions.append(.text("nameConstraints", "critical,permitted;DNS:example.com")) })),
            .tls(
                "inside the names an authority may not", "excluded subtree violation",
                try below(
                    middle { $0.extensions.append(.text("nameConstraints", "critical,excluded;DNS:amazonaws.com")) })),
            .tls(
                "an unknown critical extension", "unhandled critical extension",
                alone(try leaf { $0.extensions.append(critical) })),
            .tls(
                "an unknown critical extension in an authority", "unhandled critical extension",
                try below(middle { $0.extensions.append(critical) })),
        ]
    }

    // MARK: Strength

    func strength() throws -> [BadServer] {
        // No signature over elliptic curves has MD5.
        let rsa = try middle { $0.key = .rsa(bits: 2_048) }
        return [
            .tls("RSA-1024", "EE certificate key too weak", alone(try leaf { $0.key = .rsa(bits: 1_024) })),
            .tls(
                "RSA-1024 in an authority", "CA certificate key too weak",
                try below(middle { $0.key = .rsa(bits: 1_024) })),
            .tls("SHA-1", "CA signature digest algorithm too weak", alone(try leaf { $0.digest = .sha1 })),
            .tls(
                "MD5", "CA signature digest algorithm too weak",
                .init(chain: [try leaf(by: rsa) { $0.digest = .md5 }, rsa])),
            .tls(
                "SHA-1 in an authority", "CA signature digest algorithm too weak",
                try below(middle { $0.digest = .sha1 })),
        ]
    }

    func protocols() throws -> [BadServer] {
        let elliptic = try leaf()
        let rsa = try leaf { $0.key = .rsa(bits: 2_048) }
        func tls(
            _ name: String, _ reason: String, _ leaf: IssuedCertificate, versions: ClosedRange<Int32> = 0x0303...0x0303,
            _ ciphers: String? = nil
        ) -> BadServer {
            var settings = alone(leaf)
            settings.versions = versions
            settings.ciphers = ciphers
            return .tls(name, reason, settings)
        }
        return [
            tls("TLS 1.0", "protocol version", elliptic, versions: 0x0301...0x0301),
            tls("TLS 1.1", "protocol version", elliptic, versions: 0x0302...0x0302),
            tls("RSA without forward secrecy", "handshake failure", rsa, "AES128-GCM-SHA256:AES256-GCM-SHA384"),
            tls("suites without encryption", "handshake failure", rsa, "ECDHE-RSA-NULL-SHA:NULL-SHA256"),
            tls("suites without a certificate", "handshake failure", rsa, "AECDH-AES128-SHA:ADH-AES128-GCM-SHA256"),
            tls("suites with CBC", "handshake failure", elliptic, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"),
            downgrade(elliptic),
        ]
    }

    /// Somebody between client and server takes TLS 1.3 out of what the client offers. The server marks its answer
    /// (RFC 8446, section 4.1.3), and the client must see that.
    private func downgrade(_ leaf: IssuedCertificate) -> BadServer {
        let settings = alone(leaf)
        return BadServer(name: "a downgrade on the way", reason: "inappropriate fallback") { socket in
            let server = try LoopbackServer { inner in
                if try BadTLSServer.shakeHands(over: inner, settings) {
                    throw TestFailure("the client took a downgrade")
                }
            }
            let onward = try LoopbackSocket.connect(port: server.port)
            var hello = try socket.read()
            // supported_versions (43), four bytes of length and list: renamed to a type that nobody knows.
            let mark: [UInt8] = [0x00, 0x2B, 0x00]
            guard let place = hello.indices.dropLast(2).first(where: { Array(hello[$0..<$0 + 3]) == mark }) else {
                throw TestFailure("the client offers no versions")
            }
            (hello[place], hello[place + 1]) = (0x7A, 0x7B)
            try onward.write(hello)
            try socket.write(try onward.read())
            while try !socket.read().isEmpty {}
            onward.close()
        }
    }
}

/// Servers whose bytes are no handshake.
enum BadBytes {
    /// A record with this content.
    private static func record(_ kind: UInt8, _ content: [UInt8], version: UInt8 = 3) -> [UInt8] {
        [kind, 3, version, UInt8(content.count >> 8), UInt8(content.count & 0xFF)] + content
    }

    /// A ServerHello of TLS 1.2 with this version and suite.
    private static func hello(version: UInt8 = 3, suite: [UInt8]) -> [UInt8] {
        let body = [3, version] + [UInt8](repeating: 0x5A, count: 32) + [0] + suite + [0]
        return record(22, [2, 0, 0, UInt8(body.count)] + body)
    }

    static let all: [BadServer] = [
        .bytes("plain HTTP", "is no TLS", Array("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".utf8)),
        .bytes("an SSH server", "is no TLS", Array("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".utf8)),
        .bytes("garbage", "is no TLS", (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 129) }),
        .bytes(
            "half a record", "ended during the TLS handshake", Array(hello(suite: [0xC0, 0x2B]).prefix(20)),
            thenEnds: true),
        .bytes("a huge record", "length", [22, 3, 3, 0xFF, 0xFF] + [UInt8](repeating: 0, count: 1 << 16)),
        .bytes("an empty record of no kind", "unexpected", record(99, [])),
        .bytes(
            "a handshake message without an end", "excessive message size",
            record(22, [2, 0xFF, 0xFF, 0xFF, 0]), thenEnds: true),
        .bytes("a suite that was not offered", "wrong cipher returned", hello(suite: [0x00, 0x3C])),
        .bytes("a suite that nobody knows", "unknown cipher returned", hello(suite: [0xFA, 0xCE])),
        .bytes("SSL 3.0", "unsupported protocol", hello(version: 0, suite: [0x00, 0x05])),
        .bytes("data before a handshake", "unexpected", record(23, [1, 2, 3, 4])),
        .bytes("the alert handshake_failure", "handshake failure", record(21, [2, 40])),
        .bytes("the alert internal_error", "internal error", record(21, [2, 80])),
        .bytes("the alert unrecognized_name", "unrecognized name", record(21, [2, 112])),
        BadServer(name: "an end at once", reason: "ended during the TLS handshake") { socket in
            _ = try socket.read()
            socket.close()
        },
        BadServer(name: "a reset", reason: "reset") { socket in
            _ = try socket.read(upTo: 1)
            socket.reset()
        },
        BadServer(name: "silence", reason: "the TLS handshake for") { socket in while try !socket.read().isEmpty {} },
        BadServer(name: "a trickle", reason: "the TLS handshake for") { socket in
            _ = try socket.read()
            for byte in record(22, [2, 0, 0x3F, 0xFF] + [UInt8](repeating: 0, count: 1 << 13)) {
                try socket.write([byte])
                try pause(on: socket)
            }
        },
    ]

    /// Until the client has gone, but 50 ms at most.
    private static func pause(on socket: LoopbackSocket) throws {
        if socket.waitForInput(milliseconds: 50) { throw TestFailure("the client has gone") }
    }
}
