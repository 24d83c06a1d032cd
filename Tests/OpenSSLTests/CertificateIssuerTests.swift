import COpenSSL
import Testing

@testable import OpenSSL

/// Checks the certificates with OpenSSL's own chain verification, which shares no code with the issuing.
@Suite struct CertificateIssuerTests {
    private let now: Int64 = 1_790_000_000

    @Test func aLeafOfTheAuthorityIsTrustedForEachOfItsNames() throws {
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let names: [CertificateTemplate.Name] = [
            .dns("eice-1.example.com"), .dns("localhost"), .address([127, 0, 0, 1]),
        ]
        let leaf = try CertificateIssuer.issue(.server(commonName: "leaf", names: names, now: now), by: authority)
        #expect(verify(leaf, under: authority, at: now, host: "eice-1.example.com") == X509_V_OK)
        #expect(verify(leaf, under: authority, at: now, host: "localhost") == X509_V_OK)
        #expect(verify(leaf, under: authority, at: now, host: "other.example.com") == X509_V_ERR_HOSTNAME_MISMATCH)
    }

    @Test func theValidityWindowIsTheTemplates() throws {
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let leaf = try CertificateIssuer.issue(
            .server(commonName: "leaf", names: [.dns("a")], now: now, days: 1), by: authority)
        #expect(verify(leaf, under: authority, at: now - 7_200, host: "a") == X509_V_ERR_CERT_NOT_YET_VALID)
        #expect(verify(leaf, under: authority, at: now + 2 * 86_400, host: "a") == X509_V_ERR_CERT_HAS_EXPIRED)
    }

    @Test func anotherAuthorityOfTheSameNameIsNotTrusted() throws {
        let mine = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let other = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let leaf = try CertificateIssuer.issue(.server(commonName: "leaf", names: [.dns("a")], now: now), by: other)
        #expect(verify(leaf, under: mine, at: now, host: "a") != X509_V_OK)
    }

    @Test func aLeafIsNoAuthority() throws {
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now, pathLength: nil))
        let middle = try CertificateIssuer.issue(
            .server(commonName: "middle", names: [.dns("m")], now: now), by: authority)
        let leaf = try CertificateIssuer.issue(.server(commonName: "leaf", names: [.dns("a")], now: now), by: middle)
        let result = verify(leaf, under: authority, at: now, host: "a", intermediates: [middle])
        #expect(result != X509_V_OK)
    }

    @Test(arguments: [
        (CertificateTemplate.Key.rsa(bits: 1_024), CertificateTemplate.Digest.sha256),
        (.ellipticCurve("P-256"), .sha1), (.rsa(bits: 2_048), .md5), (.ellipticCurve("P-384"), .sha384),
    ])
    func keysAndDigestsAreTheTemplates(key: CertificateTemplate.Key, digest: CertificateTemplate.Digest) throws {
        var template = CertificateTemplate.server(commonName: "leaf", names: [.dns("a")], now: now)
        template.key = key
        template.digest = digest
        let issued = try CertificateIssuer.issue(template)
        let certificate = try #require(read(issued.certificate))
        defer { X509_free(certificate) }
        let expected =
            switch digest {
            case .sha256: NID_sha256
            case .sha384: NID_sha384
            case .sha1: NID_sha1
            case .md5: NID_md5
            }
        var actual: Int32 = 0
        #expect(X509_get_signature_info(certificate, &actual, nil, nil, nil) == 1)
        #expect(actual == expected)
        switch key {
        case .rsa(let bits): #expect(EVP_PKEY_get_bits(X509_get0_pubkey(certificate)) == bits)
        case .ellipticCurve: #expect(EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)) == EVP_PKEY_EC)
        }
    }

    @Test func extensionsOfAnyKindCanBeAdded() throws {
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        var template = CertificateTemplate.server(commonName: "leaf", names: [.dns("a")], now: now)
        template.extensions.append(.der(identifier: "1.3.6.1.4.1.99999.1", critical: true, value: [5, 0]))
        let leaf = try CertificateIssuer.issue(template, by: authority)
        #expect(
            verify(leaf, under: authority, at: now, host: "a") == X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION)
        var nonsense = CertificateTemplate.server(commonName: "leaf", names: [.dns("a")], now: now)
        nonsense.extensions.append(.text("keyUsage", "nonsense"))
        #expect(throws: CertificateError.self) { try CertificateIssuer.issue(nonsense) }
    }

    @Test func aNameWithANULByteIsPutInAsItIs() throws {
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let evil: [UInt8] = Array("good.example.com".utf8) + [0] + Array(".evil.org".utf8)
        let leaf = try CertificateIssuer.issue(
            .server(commonName: "leaf", names: [.raw(tag: 2, evil)], now: now), by: authority)
        #expect(verify(leaf, under: authority, at: now, host: "good.example.com") != X509_V_OK)
    }

    private func read(_ pem: String) -> OpaquePointer? {
        let bytes = Array(pem.utf8)
        let bio = BIO_new_mem_buf(bytes, Int32(bytes.count))
        defer { BIO_free(bio) }
        return PEM_read_bio_X509(bio, nil, nil, nil)
    }

    private func verify(
        _ leaf: IssuedCertificate, under root: IssuedCertificate, at time: Int64, host: String,
        intermediates: [IssuedCertificate] = []
    ) -> Int32 {
        let store = X509_STORE_new()
        let context = X509_STORE_CTX_new()
        let untrusted = OPENSSL_sk_new_null()
        let certificate = read(leaf.certificate)
        let authority = read(root.certificate)
        let middle = intermediates.map { read($0.certificate) }
        defer {
            X509_STORE_CTX_free(context)
            X509_STORE_free(store)
            X509_free(certificate)
            X509_free(authority)
            for one in middle { X509_free(one) }
            OPENSSL_sk_free(untrusted)
        }
        X509_STORE_add_cert(store, authority)
        for one in middle { OPENSSL_sk_push(untrusted, UnsafeRawPointer(one)) }
        X509_STORE_CTX_init(context, store, certificate, untrusted)
        let parameters = X509_STORE_CTX_get0_param(context)
        X509_VERIFY_PARAM_set_time(parameters, time_t(time))
        X509_VERIFY_PARAM_set1_host(parameters, host, 0)
        X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_SERVER)
        return X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context)
    }
}
