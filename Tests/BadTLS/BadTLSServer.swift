import COpenSSL
import Glibc
import OpenSSL
import TestSupport

/// TLS servers that no client may accept. The product's own server side refuses to be one of them, so they are made of
/// OpenSSL itself, with everything allowed.
public enum BadTLSServer {
    /// How a server shakes hands.
    public struct Settings: Sendable {
        /// The leaf first.
        public var chain: [IssuedCertificate]
        /// As OpenSSL numbers them: 0x0301 is TLS 1.0.
        public var versions: ClosedRange<Int32> = 0x0303...0x0304
        /// For TLS 1.2 and older, as OpenSSL names them; nil for its own choice.
        public var ciphers: String?

        public init(chain: [IssuedCertificate]) { self.chain = chain }
    }

    public enum Refused: Error { case configuration(String) }

    /// Shakes hands. Returns whether the client took it.
    public static func shakeHands(over socket: LoopbackSocket, _ settings: Settings) throws -> Bool {
        // OpenSSL writes with write(2), and the client may be gone: this thread belongs to the connection and ends with it.
        var pipe = sigset_t()
        sigemptyset(&pipe)
        sigaddset(&pipe, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &pipe, nil)
        let context = try context(settings)
        defer { SSL_CTX_free(context) }
        guard let ssl = SSL_new(context) else { throw Refused.configuration("SSL_new") }
        defer { SSL_free(ssl) }
        SSL_set_fd(ssl, socket.descriptor.raw)
        ERR_clear_error()
        guard SSL_accept(ssl) == 1 else { return false }
        // In TLS 1.3 the server is done before the client has looked at the certificate: its alert, or its data, tells.
        var byte: UInt8 = 0
        return SSL_read(ssl, &byte, 1) == 1
    }

    private static func context(_ settings: Settings) throws -> OpaquePointer {
        guard let context = SSL_CTX_new(TLS_server_method()) else { throw Refused.configuration("SSL_CTX_new") }
        SSL_CTX_set_security_level(context, 0)
        guard shim_SSL_CTX_set_min_proto_version(context, settings.versions.lowerBound) == 1,
            shim_SSL_CTX_set_max_proto_version(context, settings.versions.upperBound) == 1,
            settings.ciphers.map({ SSL_CTX_set_cipher_list(context, "\($0):@SECLEVEL=0") == 1 }) ?? true
        else { throw Refused.configuration("this OpenSSL has no \(settings.ciphers ?? "such version")") }
        for (index, issued) in settings.chain.enumerated() {
            let certificate = try read(issued.certificate) { PEM_read_bio_X509($0, nil, nil, nil) }
            defer { X509_free(certificate) }
            if index > 0 {
                _ = shim_SSL_CTX_add1_chain_cert(context, certificate)
                continue
            }
            let key = try read(issued.privateKey) { PEM_read_bio_PrivateKey($0, nil, nil, nil) }
            defer { EVP_PKEY_free(key) }
            guard SSL_CTX_use_certificate(context, certificate) == 1, SSL_CTX_use_PrivateKey(context, key) == 1 else {
                throw Refused.configuration("the server does not take its certificate")
            }
        }
        return context
    }

    private static func read(_ pem: String, _ body: (OpaquePointer?) -> OpaquePointer?) throws -> OpaquePointer {
        let bytes = Array(pem.utf8)
        let bio = BIO_new_mem_buf(bytes, Int32(bytes.count))
        defer { BIO_free(bio) }
        guard let result = body(bio) else { throw Refused.configuration("PEM") }
        return result
    }

    /// The same certificate with its signature's last bit turned.
    public static func tampered(_ issued: IssuedCertificate) throws -> IssuedCertificate {
        let certificate = try read(issued.certificate) { PEM_read_bio_X509($0, nil, nil, nil) }
        defer { X509_free(certificate) }
        var start: UnsafeMutablePointer<UInt8>?
        let length = i2d_X509(certificate, &start)
        guard length > 0, let start else { throw Refused.configuration("DER") }
        defer { CRYPTO_free(start, #file, #line) }
        start[Int(length) - 1] ^= 1
        var cursor: UnsafePointer<UInt8>? = UnsafePointer(start)
        guard let copy = d2i_X509(nil, &cursor, Int(length)) else { throw Refused.configuration("DER") }
        defer { X509_free(copy) }
        guard let bio = BIO_new(BIO_s_mem()) else { throw Refused.configuration("BIO") }
        defer { BIO_free(bio) }
        PEM_write_bio_X509(bio, copy)
        var text = [UInt8](repeating: 0, count: BIO_ctrl_pending(bio))
        BIO_read(bio, &text, Int32(text.count))
        return IssuedCertificate(certificate: String(decoding: text, as: UTF8.self), privateKey: issued.privateKey)
    }
}
