import Glibc
import OpenSSL
import SecureSocket
import TestSupport

/// HTTPS on a loopback port with a certificate of the test's own authority; each request is answered with 200.
struct TLSStub {
    /// The file of the authority's certificate.
    let trustRoots: String
    private let server: LoopbackServer

    var port: UInt16 { server.port }

    init(in folder: TemporaryDirectory, names: [CertificateTemplate.Name]) throws {
        let now = Int64(time(nil))
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let leaf = try CertificateIssuer.issue(.server(commonName: "server", names: names, now: now), by: authority)
        trustRoots = try folder.write("ca.pem", authority.certificate)
        let context = try TLSContext(certificateChain: leaf.certificate, privateKey: leaf.privateKey)
        server = try LoopbackServer { socket in
            let tls = BlockingTLS(
                try TLSSession(server: context), receive: { try socket.read(into: $0) }, send: { try socket.write($0) })
            try tls.handshake()
            _ = try tls.read()
            try tls.write(Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".utf8))
            try tls.sendCloseNotify()
        }
    }
}
