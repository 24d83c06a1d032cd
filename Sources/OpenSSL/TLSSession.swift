import COpenSSL

/// One TLS connection as a converter of bytes: plaintext here, ciphertext there, no sockets.
///
/// The caller lends memory to ``incoming`` and ``outgoing``, puts received ciphertext into the one and sends what
/// appears in the other. Belongs to one loop or thread at a time; not for sharing.
public final class TLSSession {
    /// What a call could do.
    public enum Progress: Equatable, Sendable {
        /// Plaintext went through, so many bytes.
        case bytes(Int)
        /// More ciphertext must come in first.
        case needsIncoming
        /// Ciphertext must be sent first: ``outgoing`` is full, or lends no memory.
        case needsOutgoing
        /// The peer ended its direction with close_notify.
        case ended
        case failed(TLSError)
    }

    public enum Handshake: Equatable, Sendable {
        case done
        case needsIncoming
        case needsOutgoing
        case failed(TLSError)
    }

    public var incoming = StagingArea()
    public var outgoing = StagingArea()
    /// No more ciphertext will come: the socket reached its end of file.
    public var incomingEnded = false

    /// The handshake was completed. Remembered, since OpenSSL forgets it after a fatal error.
    private var isEstablished = false
    private let ssl: OpaquePointer
    private let context: TLSContext
    /// Why the peer's certificate was refused, where that was its time.
    private var certificateTime: CertificateTime?
    /// Whom this client verified: sessions are resumed under this name and no other. Empty for a server.
    private let sessionName: String

    /// A client's side.
    ///
    /// - Parameter serverName: the name that is sent (SNI) and that the certificate must carry, in both without a dot at
    ///   its end; an IP address is checked as one and not sent (RFC 6066, section 3).
    /// - Parameter port: the server's, for resumption: other ports are other servers.
    public init(context: TLSContext, serverName: String, port: UInt16 = 443) throws(TLSError) {
        precondition(context.role == .client)
        self.context = context
        let serverName = serverName.hasSuffix(".") ? String(serverName.dropLast()) : serverName
        sessionName = "\(serverName):\(port)"
        ssl = try Self.make(context)
        ErrorQueue.clear()
        let parameters = SSL_get0_param(ssl)
        // A name in the certificate's subject does not count (RFC 6125, section 6.4.4), nor does a partial wildcard.
        X509_VERIFY_PARAM_set_hostflags(
            parameters, UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        let accepted: Bool
        if X509_VERIFY_PARAM_set1_ip_asc(parameters, serverName) == 1 {
            accepted = true
        } else {
            ErrorQueue.clear()
            accepted =
                SSL_set1_host(ssl, serverName) == 1 && shim_SSL_set_tlsext_host_name(ssl, serverName) == 1
        }
        // What is thrown from here on is followed by `deinit`.
        guard accepted else {
            throw ErrorQueue.configurationError("\(serverName) is no name that TLS can check")
        }
        SSL_set_connect_state(ssl)
        try attach()
        resume()
    }

    /// A server's side.
    public init(server context: TLSContext) throws(TLSError) {
        precondition(context.role == .server)
        self.context = context
        sessionName = ""
        ssl = try Self.make(context)
        SSL_set_accept_state(ssl)
        try attach()
    }

    deinit { SSL_free(ssl) }

    private static func make(_ context: TLSContext) throws(TLSError) -> OpaquePointer {
        let pointer = try context.pointer()
        ErrorQueue.clear()
        guard let ssl = SSL_new(pointer) else { throw ErrorQueue.configurationError("cannot start TLS") }
        return ssl
    }

    private func attach() throws(TLSError) {
        guard let method = StagingBIO.method, let bio = BIO_new(method) else {
            throw ErrorQueue.configurationError("cannot start TLS")
        }
        // Unretained: the BIO lives in `ssl`, which this object frees before it goes itself.
        BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
        BIO_set_init(bio, 1)
        SSL_set_bio(ssl, bio, bio)
    }

    // MARK: Resumption

    /// Whether the handshake resumed an earlier session, and so exchanged no certificates.
    public var wasResumed: Bool { SSL_session_reused(ssl) == 1 }

    private func resume() {
        guard let session = context.sessions.take(for: sessionName) else { return }
        SSL_set_session(ssl, session)
        SSL_SESSION_free(session)
    }

    /// OpenSSL has a session that could be resumed: a copy is kept.
    static func keep(_ session: OpaquePointer, of ssl: OpaquePointer) {
        guard let bio = SSL_get_rbio(ssl), let data = BIO_get_data(bio) else { return }
        let owner = Unmanaged<TLSSession>.fromOpaque(data).takeUnretainedValue()
        guard !owner.sessionName.isEmpty, SSL_SESSION_is_resumable(session) == 1 else { return }
        owner.context.sessions.add(session, for: owner.sessionName)
    }

    // MARK: Verification

    /// A verification has failed.
    static func keepTime(of verification: OpaquePointer) {
        guard let ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()),
            let bio = SSL_get_rbio(OpaquePointer(ssl)), let data = BIO_get_data(bio)
        else { return }
        let owner = Unmanaged<TLSSession>.fromOpaque(data).takeUnretainedValue()
        owner.certificateTime = CertificateTime(failed: verification)
    }

    // MARK: Bytes

    /// Goes on with the handshake as far as the ciphertext at hand allows.
    public func handshake() -> Handshake {
        ErrorQueue.clear()
        let code = SSL_do_handshake(ssl)
        if code == 1 {
            isEstablished = true
            return .done
        }
        switch outcome(of: code) {
        case .needsIncoming: return .needsIncoming
        case .needsOutgoing: return .needsOutgoing
        case .ended: return .failed(TLSError(.truncated, "the peer ended TLS during the handshake"))
        case .failed(let error):
            context.sessions.drop(sessionName)
            return .failed(error)
        case .bytes: return .done
        }
    }

    /// Decrypts into `memory`: at most one record a call.
    public func read(into memory: UnsafeMutableRawBufferPointer) -> Progress {
        ErrorQueue.clear()
        var count = 0
        let code = SSL_read_ex(ssl, memory.baseAddress, memory.count, &count)
        return code == 1 ? .bytes(count) : outcome(of: code)
    }

    /// Encrypts. Needs room in ``outgoing`` for the plaintext and 64 bytes more for each record of 16 KiB begun, and for two
    /// records of TLS's own; the result then is `.bytes` with the full count.
    public func write(_ plaintext: UnsafeRawBufferPointer) -> Progress {
        ErrorQueue.clear()
        var count = 0
        let code = SSL_write_ex(ssl, plaintext.baseAddress, plaintext.count, &count)
        return code == 1 ? .bytes(count) : outcome(of: code)
    }

    /// Puts close_notify into ``outgoing`` (RFC 8446, section 6.1). Nothing can be written after it.
    public func sendCloseNotify() {
        ErrorQueue.clear()
        _ = SSL_shutdown(ssl)
        ErrorQueue.clear()
    }

    /// Decrypted bytes that wait inside OpenSSL for the next `read`.
    public var hasPendingPlaintext: Bool { SSL_pending(ssl) > 0 }

    /// Gives back OpenSSL's own buffers, 33 KiB, unless bytes are in them; the next call asks for them anew. For a connection
    /// that rests.
    public func releaseBuffers() { SSL_free_buffers(ssl) }

    /// The name that the client asked for (SNI), on either side; nil where there is none.
    public var requestedName: String? {
        SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) }
    }

    /// "TLSv1.3".
    public var protocolVersion: String { String(cString: SSL_get_version(ssl)) }

    /// One place for the rule of SSL_get_error(3): clear before the call, ask after it on the same thread, then empty
    /// the queue.
    private func outcome(of code: Int32) -> Progress {
        let kind = SSL_get_error(ssl, code)
        switch kind {
        case SSL_ERROR_WANT_READ: return incomingEnded ? .failed(truncation) : .needsIncoming
        case SSL_ERROR_WANT_WRITE: return .needsOutgoing
        case SSL_ERROR_ZERO_RETURN: return .ended
        default: break
        }
        let first = ErrorQueue.drain()
        let verification = SSL_get_verify_result(ssl)
        if verification != Int(X509_V_OK) {
            if let certificateTime { return .failed(TLSError(.certificateTime, certificateTime.reason)) }
            let words = String(cString: X509_verify_cert_error_string(verification))
            return .failed(TLSError(.certificate, Self.certificateReason(Int32(verification), words)))
        }
        guard let first else { return .failed(truncation) }
        // An SSL_R_… above 1000 is an alert that came from the peer (ssl.h: SSL_AD_REASON_OFFSET).
        let reason = Int32(first.code & 0x7f_ffff)
        if reason > 1_000, reason < 1_256 {
            return .failed(TLSError(.alert, "the peer refused: \(first.reason)"))
        }
        if reason == SSL_R_UNEXPECTED_EOF_WHILE_READING { return .failed(truncation) }
        // Plain HTTP on this port, most often.
        if reason == SSL_R_WRONG_VERSION_NUMBER, !isEstablished {
            return .failed(TLSError(.violation, "the answer is no TLS (\(first.reason))"))
        }
        return .failed(TLSError(.violation, first.reason))
    }

    private var truncation: TLSError {
        TLSError(
            .truncated,
            isEstablished
                ? "the connection ended without TLS's close_notify" : "the connection ended during the TLS handshake")
    }

    /// OpenSSL's words, and for the frequent cases what a person can make of them.
    private static func certificateReason(_ code: Int32, _ words: String) -> String {
        switch code {
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            "the certificate is for another name"
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
            X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
            "the certificate is not trusted (\(words))"
        default: "the certificate is not accepted (\(words))"
        }
    }
}

/// OpenSSL's idea of a socket: reads from the session's `incoming`, writes to its `outgoing`.
private enum StagingBIO {
    /// Never freed: one for the process. Immutable after its making, hence safe to share.
    nonisolated(unsafe) static let method: OpaquePointer? = {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "staging area") else { return nil }
        BIO_meth_set_read_ex(method) { bio, bytes, capacity, count in
            guard let bio, let bytes, let session = session(of: bio) else { return 0 }
            shim_BIO_clear_retry_flags(bio)
            let filled = session.incoming.filled
            guard !filled.isEmpty, let source = filled.baseAddress else {
                if !session.incomingEnded { shim_BIO_set_retry_read(bio) }
                return 0
            }
            let taken = min(capacity, filled.count)
            UnsafeMutableRawPointer(bytes).copyMemory(from: source, byteCount: taken)
            session.incoming.consume(taken)
            count?.pointee = taken
            return 1
        }
        BIO_meth_set_write_ex(method) { bio, bytes, length, count in
            guard let bio, let bytes, let session = session(of: bio) else { return 0 }
            shim_BIO_clear_retry_flags(bio)
            let free = session.outgoing.free
            guard !free.isEmpty, let destination = free.baseAddress else {
                shim_BIO_set_retry_write(bio)
                return 0
            }
            let taken = min(length, free.count)
            destination.copyMemory(from: bytes, byteCount: taken)
            session.outgoing.append(taken)
            count?.pointee = taken
            return 1
        }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            switch command {
            case BIO_CTRL_FLUSH: 1
            case BIO_CTRL_EOF:
                bio.flatMap { session(of: $0) }.map { $0.incomingEnded && $0.incoming.isEmpty ? 1 : 0 } ?? 0
            default: 0
            }
        }
        return method
    }()

    private static func session(of bio: OpaquePointer) -> TLSSession? {
        BIO_get_data(bio).map { Unmanaged<TLSSession>.fromOpaque($0).takeUnretainedValue() }
    }
}
