import Failures
import OpenSSL

/// The emulator's own certificate authority, and the certificates it shows: one good, the others bad on purpose.
struct Certificates: Sendable {
    /// PEM text, for clients to trust.
    let authority: String
    let good: TLSContext
    private let bad: [Fault.Kind: TLSContext]

    /// - Parameters:
    ///   - names: the DNS names that the good certificate covers, beside `localhost` and 127.0.0.1.
    ///   - now: seconds since 1970.
    init(names: [String], now: Int64) throws(Failure) {
        do {
            let template = CertificateTemplate.authority(commonName: "eice-emulator authority", now: now)
            let issuer = try CertificateIssuer.issue(template)
            authority = issuer.certificate
            let covered: [CertificateTemplate.Name] =
                Self.merged(names).map { .dns($0) }
                + [.dns("localhost"), .address([127, 0, 0, 1]), .address([UInt8](repeating: 0, count: 15) + [1])]
            let leaf = CertificateTemplate.server(commonName: "eice-emulator", names: covered, now: now)
            good = try Self.context(leaf, issuer)

            var expired = leaf
            expired.notBefore = now - 10 * 86_400
            expired.notAfter = now - 86_400
            var early = leaf
            early.notBefore = now + 86_400
            var other = leaf
            other.names = [.dns("another-name.example.com")]
            // An authority of the same name but with another key: what an attacker could make.
            let impostor = try CertificateIssuer.issue(template)
            bad = [
                .certificateExpired: try Self.context(expired, issuer),
                .certificateNotYetValid: try Self.context(early, issuer),
                .certificateWrongName: try Self.context(other, issuer),
                .certificateUntrusted: try Self.context(leaf, impostor),
            ]
        } catch {
            throw Failure(.internal, "cannot make the emulator's certificates", why: "\(error)")
        }
    }

    /// The context for a connection that this fault hits; the good one for none.
    func context(for fault: Fault?) -> TLSContext { fault.flatMap { bad[$0.kind] } ?? good }

    private static func context(_ template: CertificateTemplate, _ issuer: IssuedCertificate) throws -> TLSContext {
        let leaf = try CertificateIssuer.issue(template, by: issuer)
        return try TLSContext(certificateChain: leaf.certificate, privateKey: leaf.privateKey)
    }

    /// Above this many names under one parent a wildcard takes their place, since hundreds of names would make each
    /// handshake many times as long as the service's.
    static let mostNamesOfOneParent = 8

    static func merged(_ names: [String]) -> [String] {
        var children: [String: [String]] = [:]
        for name in Set(names).sorted() {
            children[name.firstIndex(of: ".").map { String(name[$0...]) } ?? name, default: []].append(name)
        }
        return children.sorted { $0.key < $1.key }.flatMap { parent, names in
            names.count > mostNamesOfOneParent && parent.hasPrefix(".") ? ["*\(parent)"] : names
        }
    }
}
