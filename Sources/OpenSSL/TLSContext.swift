import COpenSSL
import Synchronization

/// What TLS sessions of one kind share: trust roots and rules for a client, certificate and key for a server.
///
/// Safe on any thread: OpenSSL allows sessions to be made from one context concurrently, what they share is made once, under a
/// lock, and not changed then, and the kept sessions have a lock of their own.
public final class TLSContext: Sendable {
    public enum Role: Sendable { case client, server }

    /// OpenSSL's, owned; its calls count references to it and lock what they change.
    private struct Context: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    private let context: Mutex<Context?>
    public let role: Role
    /// A client's sessions to resume.
    let sessions = TLSSessionCache()

    /// A client that verifies: TLS 1.2 or newer, ECDHE with AEAD, security level 2. It trusts the system's certificates (OpenSSL's
    /// default paths, which SSL_CERT_FILE and SSL_CERT_DIR override).
    ///
    /// OpenSSL is set up by ``prepare()`` or the first session only: that touches 2 MiB of its libraries, and a daemon may wait for
    /// days.
    public init() {
        role = .client
        context = Mutex(nil)
    }

    /// A client that trusts the PEM certificates of a file, as `AWS_CA_BUNDLE` names it, instead of the system's. The caller reads the
    /// file, since OpenSSL would wait for as long as a file system hangs.
    ///
    /// - Parameter path: what messages call the file.
    /// - Throws: ``TLSError`` with code `configuration` when there is no certificate in it, or one that cannot be read.
    public init(trusting certificates: [UInt8], of path: String) throws(TLSError) {
        role = .client
        let pointer = certificates.withUnsafeBytes { bytes in
            Result { () throws(TLSError) in
                let text = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
                return try Self.client(trusting: text, of: path)
            }
        }
        context = Mutex(Context(pointer: try pointer.get()))
    }

    /// The same for a program that may wait for the file.
    public init(trustingFile path: String) throws(TLSError) {
        role = .client
        ErrorQueue.clear()
        guard let file = BIO_new_file(path, "r") else {
            throw ErrorQueue.configurationError("cannot read the trust roots in \(path)")
        }
        context = Mutex(Context(pointer: try Self.client(trusting: file, of: path)))
    }

    /// Sets OpenSSL up, unless that was done: it may read the system's bundle of certificates, which takes milliseconds.
    ///
    /// - Throws: ``TLSError`` with code `configuration` when OpenSSL as it is configured here lacks what is needed.
    public func prepare() throws(TLSError) { _ = try pointer() }

    /// OpenSSL's context, which lives as long as this one.
    func pointer() throws(TLSError) -> OpaquePointer {
        try context.withLock { context throws(TLSError) in
            if let context { return context.pointer }
            let pointer = try Self.client()
            context = Context(pointer: pointer)
            return pointer
        }
    }

    /// - Parameter certificates: PEM text, which is freed; nil: the system's.
    private static func client(
        trusting certificates: OpaquePointer? = nil, of path: String = ""
    ) throws(TLSError) -> OpaquePointer {
        defer { BIO_free(certificates) }
        let pointer = try make(TLS_client_method())
        SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, nil)
        // A resumed session verifies nothing again, so OpenSSL keeps none itself: ours are kept by name.
        _ = shim_SSL_CTX_set_session_cache_mode(
            pointer, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        SSL_CTX_sess_set_new_cb(pointer) { ssl, session in
            if let ssl, let session { TLSSession.keep(session, of: ssl) }
            // OpenSSL's own stays OpenSSL's.
            return 0
        }
        ErrorQueue.clear()
        let isRead =
            certificates.map { PEM.addCertificates(in: $0, to: SSL_CTX_get_cert_store(pointer)) }
            ?? (SSL_CTX_set_default_verify_paths(pointer) == 1)
        guard isRead else {
            defer { SSL_CTX_free(pointer) }
            throw ErrorQueue.configurationError(
                "cannot read the trust roots in \(certificates == nil ? "the system's folders" : path)")
        }
        // Any certificate of the bundle is an anchor, also one that is no root: libcurl reads bundles so, and companies hand
        // out the authority that signs alone (X509_VERIFY_PARAM_set_flags(3)).
        X509_STORE_set_flags(SSL_CTX_get_cert_store(pointer), UInt(X509_V_FLAG_PARTIAL_CHAIN))
        SSL_CTX_set_cert_verify_callback(
            pointer,
            { verification, _ in
                let result = X509_verify_cert(verification)
                if result <= 0, let verification { TLSSession.keepTime(of: verification) }
                return result
            }, nil)
        return pointer
    }

    /// A server with its certificate.
    ///
    /// - Parameters:
    ///   - certificateChain: PEM text, the leaf first.
    ///   - privateKey: PEM text of the leaf's key.
    public init(certificateChain: String, privateKey: String) throws(TLSError) {
        role = .server
        context = Mutex(Context(pointer: try Self.server(certificateChain, privateKey)))
    }

    private static func server(_ certificateChain: String, _ privateKey: String) throws(TLSError) -> OpaquePointer {
        let certificates = try PEM.certificates(in: certificateChain)
        defer { for certificate in certificates { X509_free(certificate) } }
        let key = try PEM.privateKey(in: privateKey)
        defer { EVP_PKEY_free(key) }
        guard let leaf = certificates.first else {
            throw TLSError(.configuration, "the certificate chain is empty")
        }
        let pointer = try make(TLS_server_method())
        ErrorQueue.clear()
        let failure: String
        if SSL_CTX_use_certificate(pointer, leaf) != 1 {
            failure = "the certificate cannot be used"
        } else if SSL_CTX_use_PrivateKey(pointer, key) != 1 {
            failure = "the private key does not fit the certificate"
        } else if !certificates.dropFirst().allSatisfy({ shim_SSL_CTX_add1_chain_cert(pointer, $0) == 1 }) {
            failure = "an issuer's certificate cannot be used"
        } else {
            return pointer
        }
        defer { SSL_CTX_free(pointer) }
        throw ErrorQueue.configurationError(failure)
    }

    deinit { context.withLock { context in SSL_CTX_free(context?.pointer) } }

    private static func make(_ method: OpaquePointer?) throws(TLSError) -> OpaquePointer {
        ErrorQueue.clear()
        guard let context = SSL_CTX_new(method) else {
            throw ErrorQueue.configurationError("cannot make a TLS context")
        }
        guard shim_SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1,
            // AES-128 first, as browsers offer it: its margin is ample, and it costs an eighth less per byte.
            SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20") == 1,
            SSL_CTX_set_ciphersuites(
                context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1
        else {
            SSL_CTX_free(context)
            throw ErrorQueue.configurationError("this OpenSSL lacks ECDHE with AEAD")
        }
        SSL_CTX_set_security_level(context, 2)
        // A write that the staging area cuts short may go on from other memory. Partial writes stay off: one call then
        // encrypts a whole batch of records. SSL_MODE_RELEASE_BUFFERS stays off too: it asks for 33 KiB and gives them back at
        // every message; TLSSession.releaseBuffers does so once a connection rests.
        _ = shim_SSL_CTX_set_mode(context, Int(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
        // Renegotiation is a TLS 1.2 relic that no endpoint needs.
        _ = SSL_CTX_set_options(context, UInt64(1) << 30)
        return context
    }
}

/// PEM text to OpenSSL's objects.
enum PEM {
    /// All certificates in order. The caller frees each with X509_free.
    static func certificates(in text: String) throws(TLSError) -> [OpaquePointer] {
        var result: [OpaquePointer] = []
        withMemory(text) { bio in
            while let certificate = PEM_read_bio_X509(bio, nil, nil, nil) { result.append(certificate) }
        }
        // The end of the text is an error to OpenSSL as well.
        ErrorQueue.clear()
        guard !result.isEmpty else { throw TLSError(.configuration, "there is no certificate in the PEM text") }
        return result
    }

    /// Adds all certificates to a store, as X509_load_cert_file(3) does with a file: also those with OpenSSL's marks of trust. False,
    /// with the reason in OpenSSL's queue of errors, where there is none or one that cannot be read.
    static func addCertificates(in text: OpaquePointer, to store: OpaquePointer?) -> Bool {
        var count = 0
        while let certificate = PEM_read_bio_X509_AUX(text, nil, nil, nil) {
            defer { X509_free(certificate) }
            guard X509_STORE_add_cert(store, certificate) == 1 else { return false }
            count += 1
        }
        // The end of the text is an error to OpenSSL as well.
        let error = ERR_peek_last_error()
        guard count > 0, ERR_GET_LIB(error) == ERR_LIB_PEM, ERR_GET_REASON(error) == PEM_R_NO_START_LINE else {
            return false
        }
        ErrorQueue.clear()
        return true
    }

    /// The caller frees the key with EVP_PKEY_free.
    static func privateKey(in text: String) throws(TLSError) -> OpaquePointer {
        ErrorQueue.clear()
        guard let key = withMemory(text, { PEM_read_bio_PrivateKey($0, nil, nil, nil) }) else {
            throw ErrorQueue.configurationError("there is no private key in the PEM text")
        }
        return key
    }

    private static func withMemory<R>(_ text: String, _ body: (OpaquePointer?) -> R) -> R {
        var text = text
        return text.withUTF8 { bytes in
            let bio = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
            defer { BIO_free(bio) }
            return body(bio)
        }
    }
}
