import Glibc
import OpenSSL
import TestSupport

/// `openssl s_server` on a loopback port: HTTPS with a certificate of the test's own authority.
struct TLSStub {
    let port: UInt16
    /// The file of the authority's certificate.
    let trustRoots: String
    private let child: ChildProcess

    init(in folder: TemporaryDirectory, names: [CertificateTemplate.Name]) async throws {
        let now = Int64(time(nil))
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let server = try CertificateIssuer.issue(.server(commonName: "server", names: names, now: now), by: authority)
        trustRoots = try folder.write("ca.pem", authority.certificate)
        let certificate = try folder.write("server.pem", server.certificate)
        let key = try folder.write("server.key", server.privateKey)
        let port = try freePort()
        self.port = port
        child = try ChildProcess(
            "/usr/bin/openssl",
            ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", certificate, "-key", key, "-www", "-quiet"],
            diesWithParent: true)
        try await eventually("the TLS server listens") { (try? LoopbackSocket.connect(port: port)) != nil }
    }
}
