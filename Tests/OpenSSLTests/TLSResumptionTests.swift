import COpenSSL
import FoundationEssentials
import Testing

@testable import OpenSSL

@Suite struct TLSResumptionTests {
    private let contexts: (client: TLSContext, server: TLSContext)

    init() throws {
        let now = Int64(Date().timeIntervalSince1970)
        let authority = try CertificateIssuer.issue(.authority(commonName: "Test CA", now: now))
        let names: [CertificateTemplate.Name] = [.dns("one.example"), .dns("two.example")]
        let leaf = try CertificateIssuer.issue(
            .server(commonName: "one.example", names: names, now: now), by: authority)
        let path = FileManager.default.temporaryDirectory.appending(path: "eiced-\(UUID().uuidString).pem")
        try Data(authority.certificate.utf8).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        contexts = (
            try TLSContext(trustingFile: path.path),
            try TLSContext(certificateChain: leaf.certificate, privateKey: leaf.privateKey)
        )
    }

    @Test func aSecondConnectionToTheSameNameIsResumed() throws {
        #expect(try connect("one.example") == false)
        #expect(try connect("one.example") == true)
    }

    @Test func aSessionIsNeverOfferedToAnotherName() throws {
        #expect(try connect("one.example") == false)
        #expect(try connect("two.example") == false)
    }

    @Test func aSessionIsNeverOfferedToAnotherPort() throws {
        #expect(try connect("one.example", port: 443) == false)
        #expect(try connect("one.example", port: 8443) == false)
    }

    @Test func anotherContextKnowsNothingOfOldSessions() throws {
        #expect(try connect("one.example") == false)
        let other = try TLSResumptionTests()
        #expect(try other.connect("one.example") == false)
    }

    @Test func ticketsAreUsedOnce() throws {
        // Each full handshake brings two tickets (OpenSSL's default), each resumed one brings one more.
        #expect(try connect("one.example", readsTickets: true) == false)
        var resumed = 0
        for _ in 0..<3 where try connect("one.example", readsTickets: false) { resumed += 1 }
        #expect(resumed == 2)
    }

    /// Each connection brings tickets, and the oldest give way: as many as an endpoint has slots are kept, the newest first.
    @Test func theNewestSessionsAreKept() throws {
        let sessions = TLSSessionCache()
        #expect(try connect("one.example") == false)
        let session = try #require(contexts.client.sessions.take(for: "one.example:443"))
        defer { SSL_SESSION_free(session) }
        for age in 1...25 {
            SSL_SESSION_set_timeout(session, age * 1_000)
            sessions.add(session, for: "a")
        }
        sessions.add(session, for: "b")
        #expect(sessions.count == 21)
        var timeouts: [Int] = []
        while let taken = sessions.take(for: "a") {
            timeouts.append(SSL_SESSION_get_timeout(taken))
            SSL_SESSION_free(taken)
        }
        #expect(timeouts == (6...25).reversed().map { $0 * 1_000 })
        #expect(sessions.count == 1)
        sessions.drop("b")
        #expect(sessions.count == 0)
    }

    @Test("a failed handshake drops the sessions kept for its name and no others")
    func aFailedHandshakeDropsItsSessions() throws {
        #expect(try connect("one.example") == false)
        #expect(try connect("two.example") == false)
        // One of the two tickets of this name is taken here, the other one is still kept.
        let client = try TLSSession(context: contexts.client, serverName: "one.example", port: 443)
        let areas = (0..<2).map { _ in UnsafeMutableRawBufferPointer.allocate(byteCount: 32_768, alignment: 16) }
        defer { for area in areas { area.deallocate() } }
        client.incoming.lend(areas[0])
        client.outgoing.lend(areas[1])
        #expect(contexts.client.sessions.count == 3)
        #expect(client.handshake() == .needsIncoming)
        let answer = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
        client.incoming.free.copyBytes(from: answer)
        client.incoming.append(answer.count)
        guard case .failed = client.handshake() else {
            Issue.record("the handshake did not fail")
            return
        }
        #expect(contexts.client.sessions.count == 2)
        #expect(try connect("one.example") == false, "the name is verified again")
        #expect(try connect("two.example") == true)
    }

    @Test("sessions of 256 names are kept, the newest among them")
    func namesAreLimited() throws {
        let sessions = TLSSessionCache()
        #expect(try connect("one.example") == false)
        let session = try #require(contexts.client.sessions.take(for: "one.example:443"))
        defer { SSL_SESSION_free(session) }
        for number in 0..<300 {
            sessions.add(session, for: "name \(number)")
            #expect(sessions.count == min(number + 1, 256))
            let newest = try #require(sessions.take(for: "name \(number)"))
            SSL_SESSION_free(newest)
            sessions.add(session, for: "name \(number)")
        }
        #expect(sessions.take(for: "another name") == nil)
    }

    @Test("a server that speaks TLS 1.2 with ECDHE and AES-GCM is taken, and its session is resumed")
    func version1_2() throws {
        #expect(
            SSL_CTX_ctrl(try contexts.server.pointer(), SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil) == 1)
        #expect(try connect("one.example") == false)
        #expect(try connect("one.example") == true)
    }

    @Test("a server that has only CBC ciphers is not")
    func weakCiphers() throws {
        let server = try contexts.server.pointer()
        #expect(SSL_CTX_ctrl(server, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil) == 1)
        #expect(SSL_CTX_set_cipher_list(server, "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256") == 1)
        #expect(throws: TLSError.self) { try connect("one.example") }
    }

    /// Shakes hands and sends a byte each way, so that tickets arrive. Returns whether the session was resumed.
    private func connect(_ name: String, port: UInt16 = 443, readsTickets: Bool = true) throws -> Bool {
        let client = try TLSSession(context: contexts.client, serverName: name, port: port)
        let server = try TLSSession(server: contexts.server)
        let areas = (0..<4).map { _ in UnsafeMutableRawBufferPointer.allocate(byteCount: 32_768, alignment: 16) }
        defer { for area in areas { area.deallocate() } }
        client.incoming.lend(areas[0])
        client.outgoing.lend(areas[1])
        server.incoming.lend(areas[2])
        server.outgoing.lend(areas[3])
        for _ in 0..<6 {
            if case .failed(let error) = client.handshake() { throw error }
            carry(from: client, to: server)
            if case .failed(let error) = server.handshake() { throw error }
            carry(from: server, to: client)
        }
        if readsTickets {
            var byte: [UInt8] = [7]
            #expect(byte.withUnsafeBytes { server.write($0) } == .bytes(1))
            carry(from: server, to: client)
            #expect(byte.withUnsafeMutableBytes { client.read(into: $0) } == .bytes(1))
        }
        // OpenSSL takes a session that ended without a goodbye for broken.
        client.sendCloseNotify()
        return client.wasResumed
    }

    private func carry(from: TLSSession, to: TLSSession) {
        let bytes = Array(from.outgoing.filled)
        from.outgoing.consume(bytes.count)
        to.incoming.free.copyBytes(from: bytes)
        to.incoming.append(bytes.count)
    }
}
