import COpenSSL

/// Issues X.509 certificates (RFC 5280): for the emulator's own authority, and, in tests, the bad ones that a strict
/// client must refuse. Everything that can be wrong with a certificate is a field of ``CertificateTemplate``.
public enum CertificateIssuer {
    /// A fresh key and a certificate for it.
    ///
    /// - Parameters:
    ///   - template: what the certificate says.
    ///   - authority: who signs; nil signs the certificate with its own key. Nothing checks that the signer is an
    ///     authority: a leaf that issues is one of the bad cases.
    public static func issue(
        _ template: CertificateTemplate, by authority: IssuedCertificate? = nil
    ) throws(CertificateError) -> IssuedCertificate {
        let key = try makeKey(template.key)
        defer { EVP_PKEY_free(key) }
        guard let certificate = X509_new() else { throw CertificateError("make a certificate") }
        defer { X509_free(certificate) }

        let issuer = try authority.map { authority throws(CertificateError) in
            (certificate: try readCertificate(authority.certificate), key: try readKey(authority.privateKey))
        }
        defer {
            X509_free(issuer?.certificate)
            EVP_PKEY_free(issuer?.key)
        }

        try setFields(of: certificate, from: template, key: key)
        let issuerName = issuer.map { X509_get_subject_name($0.certificate) } ?? X509_get_subject_name(certificate)
        guard X509_set_issuer_name(certificate, issuerName) == 1 else { throw CertificateError("set the issuer") }
        for entry in template.allExtensions {
            try add(entry, to: certificate, issuer: issuer?.certificate ?? certificate)
        }
        guard X509_sign(certificate, issuer?.key ?? key, template.digest.algorithm) > 0 else {
            throw CertificateError("sign the certificate for \(template.commonName)")
        }
        return IssuedCertificate(
            certificate: try text { PEM_write_bio_X509($0, certificate) },
            privateKey: try text { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) })
    }

    private static func setFields(
        of certificate: OpaquePointer, from template: CertificateTemplate, key: OpaquePointer
    ) throws(CertificateError) {
        // RFC 5280, section 4.1.2.2: positive, at most 20 octets, unique for an authority.
        var serial = SecureRandom.bytes(16)
        serial[0] = serial[0] & 0x7F | 0x40
        let number = BN_bin2bn(serial, Int32(serial.count), nil)
        defer { BN_free(number) }
        let from = ASN1_TIME_set(nil, time_t(template.notBefore))
        let until = ASN1_TIME_set(nil, time_t(template.notAfter))
        defer {
            ASN1_TIME_free(from)
            ASN1_TIME_free(until)
        }
        let name = X509_get_subject_name(certificate)
        guard X509_set_version(certificate, 2) == 1,  // 2 says v3
            BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nil,
            X509_set1_notBefore(certificate, from) == 1, X509_set1_notAfter(certificate, until) == 1,
            X509_set_pubkey(certificate, key) == 1,
            X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, template.organization, -1, -1, 0) == 1,
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, template.commonName, -1, -1, 0) == 1
        else { throw CertificateError("fill in the certificate for \(template.commonName)") }
    }

    private static func add(
        _ entry: CertificateTemplate.Extension, to certificate: OpaquePointer, issuer: OpaquePointer
    ) throws(CertificateError) {
        let made: OpaquePointer?
        switch entry {
        case .text(let name, let value):
            var context = X509V3_CTX()
            X509V3_set_ctx(&context, issuer, certificate, nil, nil, 0)
            made = X509V3_EXT_nconf(nil, &context, name, value)
        case .der(let identifier, let critical, let value):
            let object = OBJ_txt2obj(identifier, 1)
            let octets = ASN1_OCTET_STRING_new()
            defer {
                ASN1_OBJECT_free(object)
                ASN1_OCTET_STRING_free(octets)
            }
            guard ASN1_OCTET_STRING_set(octets, value, Int32(value.count)) == 1 else {
                throw CertificateError("encode the extension \(identifier)")
            }
            made = X509_EXTENSION_create_by_OBJ(nil, object, critical ? 1 : 0, octets)
        }
        guard let made else { throw CertificateError("make the extension \(entry)") }
        defer { X509_EXTENSION_free(made) }
        guard X509_add_ext(certificate, made, -1) == 1 else { throw CertificateError("add the extension \(entry)") }
    }

    // MARK: Keys and PEM

    private static func makeKey(_ kind: CertificateTemplate.Key) throws(CertificateError) -> OpaquePointer {
        switch kind {
        case .ellipticCurve(let curve):
            guard let key = shim_EVP_EC_gen(curve) else { throw CertificateError("make a key on \(curve)") }
            return key
        case .rsa(let bits):
            let context = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nil)
            defer { EVP_PKEY_CTX_free(context) }
            var key: OpaquePointer?
            guard EVP_PKEY_keygen_init(context) == 1,
                EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(bits)) == 1,
                EVP_PKEY_generate(context, &key) == 1, let key
            else { throw CertificateError("make an RSA key of \(bits) bits") }
            return key
        }
    }

    private static func readCertificate(_ pem: String) throws(CertificateError) -> OpaquePointer {
        let bio = try source(pem)
        defer { BIO_free(bio) }
        guard let certificate = PEM_read_bio_X509(bio, nil, nil, nil) else {
            throw CertificateError("read the authority's certificate")
        }
        return certificate
    }

    private static func readKey(_ pem: String) throws(CertificateError) -> OpaquePointer {
        let bio = try source(pem)
        defer { BIO_free(bio) }
        guard let key = PEM_read_bio_PrivateKey(bio, nil, nil, nil) else {
            throw CertificateError("read the authority's key")
        }
        return key
    }

    private static func source(_ pem: String) throws(CertificateError) -> OpaquePointer {
        let bytes = Array(pem.utf8)
        guard let bio = BIO_new(BIO_s_mem()), BIO_write(bio, bytes, Int32(bytes.count)) == bytes.count else {
            throw CertificateError("read PEM text")
        }
        return bio
    }

    private static func text(_ write: (OpaquePointer) -> Int32) throws(CertificateError) -> String {
        guard let bio = BIO_new(BIO_s_mem()) else { throw CertificateError("write PEM text") }
        defer { BIO_free(bio) }
        guard write(bio) == 1 else { throw CertificateError("write PEM text") }
        var bytes = [UInt8](repeating: 0, count: BIO_ctrl_pending(bio))
        guard BIO_read(bio, &bytes, Int32(bytes.count)) == bytes.count else {
            throw CertificateError("write PEM text")
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A certificate and its private key, both as PEM text. The key is a secret: keep it out of logs.
public struct IssuedCertificate: Sendable {
    public let certificate: String
    /// PKCS#8, unencrypted.
    public let privateKey: String

    public init(certificate: String, privateKey: String) {
        self.certificate = certificate
        self.privateKey = privateKey
    }
}

/// What a certificate says. The two makers give good ones; tests then spoil a field.
public struct CertificateTemplate: Sendable {
    public enum Key: Hashable, Sendable {
        /// A named curve, as OpenSSL calls it: "P-256".
        case ellipticCurve(String)
        case rsa(bits: Int)
    }

    /// The hash under the signature. The two old ones are for certificates that must be refused.
    public enum Digest: Hashable, Sendable {
        case sha256, sha384, sha1, md5

        var algorithm: OpaquePointer? {
            switch self {
            case .sha256: EVP_sha256()
            case .sha384: EVP_sha384()
            case .sha1: EVP_sha1()
            case .md5: EVP_md5()
            }
        }
    }

    /// A subject alternative name (RFC 5280, section 4.2.1.6).
    public enum Name: Hashable, Sendable {
        case dns(String)
        /// The 4 or 16 bytes of an address.
        case address([UInt8])
        /// Any context tag with any bytes: a DNS name (tag 2) with a NUL in it, an unknown kind of name.
        case raw(tag: UInt8, [UInt8])
    }

    public enum Extension: Hashable, Sendable {
        /// As in an OpenSSL configuration file: `text("nameConstraints", "critical,permitted;DNS:example.com")`.
        case text(String, String)
        /// Its object identifier in dotted digits and its DER value, unknown ones included.
        case der(identifier: String, critical: Bool, value: [UInt8])
    }

    public var commonName: String
    public var organization = "eiced"
    public var names: [Name] = []
    /// Seconds since 1970.
    public var notBefore: Int64
    /// Seconds since 1970.
    public var notAfter: Int64
    public var key = Key.ellipticCurve("P-256")
    public var digest = Digest.sha256
    /// Beside the alternative names.
    public var extensions: [Extension] = []

    public init(commonName: String, notBefore: Int64, notAfter: Int64) {
        self.commonName = commonName
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// A certificate authority, valid from an hour before `now` for `days`.
    ///
    /// - Parameter pathLength: how many authorities may stand below it; nil for any number.
    public static func authority(
        commonName: String, now: Int64, days: Int64 = 30, pathLength: Int? = 0
    ) -> CertificateTemplate {
        var template = CertificateTemplate(
            commonName: commonName, notBefore: now - 3_600, notAfter: now + days * 86_400)
        let length = pathLength.map { ",pathlen:\($0)" } ?? ""
        template.extensions = [
            .text("basicConstraints", "critical,CA:TRUE\(length)"),
            .text("keyUsage", "critical,keyCertSign,cRLSign"),
            .text("subjectKeyIdentifier", "hash"),
        ]
        return template
    }

    /// A TLS server's certificate, valid from an hour before `now` for `days`.
    public static func server(
        commonName: String, names: [Name], now: Int64, days: Int64 = 30
    ) -> CertificateTemplate {
        var template = CertificateTemplate(
            commonName: commonName, notBefore: now - 3_600, notAfter: now + days * 86_400)
        template.names = names
        template.extensions = [
            .text("basicConstraints", "critical,CA:FALSE"),
            .text("keyUsage", "critical,digitalSignature,keyEncipherment"),
            .text("extendedKeyUsage", "serverAuth"),
            .text("subjectKeyIdentifier", "hash"),
            .text("authorityKeyIdentifier", "keyid:always"),
        ]
        return template
    }

    var allExtensions: [Extension] {
        guard !names.isEmpty else { return extensions }
        var content: [UInt8] = []
        for name in names {
            switch name {
            case .dns(let text): content += Self.der(tag: 0x82, Array(text.utf8))
            case .address(let bytes): content += Self.der(tag: 0x87, bytes)
            case .raw(let tag, let bytes): content += Self.der(tag: 0x80 | tag & 0x1F, bytes)
            }
        }
        return [.der(identifier: "2.5.29.17", critical: false, value: Self.der(tag: 0x30, content))] + extensions
    }

    /// One DER element (X.690, section 8.1) with the length in its shortest form.
    private static func der(tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        if content.count < 128 { return [tag, UInt8(content.count)] + content }
        var length: [UInt8] = []
        var rest = content.count
        while rest > 0 {
            length.insert(UInt8(rest & 0xFF), at: 0)
            rest >>= 8
        }
        return [tag, 0x80 | UInt8(length.count)] + length + content
    }
}

/// A certificate that could not be made, with OpenSSL's own words.
public struct CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
    public let operation: String
    public let reason: String

    /// Takes this thread's oldest OpenSSL error and empties its queue.
    init(_ operation: String) {
        self.operation = operation
        let code = ERR_get_error()
        ERR_clear_error()
        reason = ERR_reason_error_string(code).map { String(cString: $0) } ?? "OpenSSL gave no reason"
    }

    public var description: String { "cannot \(operation): \(reason)" }
}
