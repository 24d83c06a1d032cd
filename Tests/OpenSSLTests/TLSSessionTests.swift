import FoundationEssentials
import OpenSSL
import Testing

@Suite struct TLSSessionTests {
    private static func now() -> Int64 { Int64(Date().timeIntervalSince1970) }

    @Test func plaintextPassesBothWaysAndEndsWithCloseNotify() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(try pair.shakeHands() == .done)
        #expect(pair.client.protocolVersion == "TLSv1.3")
        let message = [UInt8]((0..<50_000).map { UInt8(truncatingIfNeeded: $0) })
        let up = pair.send(message, from: pair.client, to: pair.server) == message
        #expect(up)
        let down = pair.send(message, from: pair.server, to: pair.client) == message
        #expect(down)
        pair.client.sendCloseNotify()
        pair.carry(from: pair.client, to: pair.server)
        #expect(pair.read(pair.server) == .ended)
    }

    @Test func anEndWithoutCloseNotifyIsATruncation() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(try pair.shakeHands() == .done)
        pair.client.incomingEnded = true
        guard case .failed(let error) = pair.read(pair.client) else {
            Issue.record("a truncated stream was not noticed")
            return
        }
        #expect(error.code == .truncated)
    }

    @Test("a dot at the end of a name is neither sent nor looked for")
    func finalDot() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example.")
        #expect(try pair.shakeHands() == .done)
        #expect(pair.server.requestedName == "eice.example")
    }

    @Test func anIPAddressIsCheckedAsOne() throws {
        let pair = try Pair(certificateNames: [.address([127, 0, 0, 1])], client: "127.0.0.1")
        #expect(try pair.shakeHands() == .done)
        let wrong = try Pair(certificateNames: [.dns("127.0.0.1")], client: "127.0.0.1")
        #expect(try wrong.shakeHands().errorCode == .certificate)
    }

    @Test(arguments: ["other.example", "deep.eice.example", "eice.example.org", "example"])
    func aCertificateForAnotherNameIsRefused(name: String) throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: name)
        guard case .failed(let error) = try pair.shakeHands() else {
            Issue.record("\(name) was accepted")
            return
        }
        #expect(error == TLSError(.certificate, "the certificate is for another name"))
    }

    @Test(
        "a wildcard stands for one whole label",
        arguments: [
            ("*.eice.example", "one.eice.example", true), ("*.eice.example", "deep.one.eice.example", false),
            ("*.eice.example", "eice.example", false),
            ("on*.eice.example", "one.eice.example", false), ("*ne.eice.example", "one.eice.example", false),
        ])
    func wildcards(certificate: String, name: String, isAccepted: Bool) throws {
        let pair = try Pair(certificateNames: [.dns(certificate)], client: name)
        #expect((try pair.shakeHands() == .done) == isAccepted)
    }

    @Test("a server learns that its certificate was refused, and says so")
    func refusedByThePeer() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "other.example")
        #expect(pair.client.handshake() == .needsIncoming)
        pair.carry(from: pair.client, to: pair.server)
        #expect(pair.server.handshake() == .needsIncoming)
        pair.carry(from: pair.server, to: pair.client)
        #expect(pair.client.handshake().errorCode == .certificate)
        pair.carry(from: pair.client, to: pair.server)
        guard case .failed(let error) = pair.server.handshake() else {
            Issue.record("the server did not notice")
            return
        }
        #expect(error.code == .alert)
        #expect(error.reason.hasPrefix("the peer refused: "))
    }

    @Test("an end during the handshake is named as such, with an end of file and with close_notify")
    func endDuringTheHandshake() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(pair.client.handshake() == .needsIncoming)
        pair.client.incomingEnded = true
        #expect(
            pair.client.handshake()
                == .failed(TLSError(.truncated, "the connection ended during the TLS handshake")))
    }

    @Test("an end without close_notify is named by where it came")
    func truncationIsNamed() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(try pair.shakeHands() == .done)
        pair.client.incomingEnded = true
        #expect(
            pair.read(pair.client)
                == .failed(TLSError(.truncated, "the connection ended without TLS's close_notify")))
    }

    @Test("a read with nothing at hand asks for more, and a write without room asks to send first")
    func wants() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(try pair.shakeHands() == .done)
        #expect(pair.read(pair.client) == .needsIncoming)
        #expect(!pair.client.hasPendingPlaintext)
        pair.client.outgoing.takeBack()
        #expect(([1] as [UInt8]).withUnsafeBytes { pair.client.write($0) } == .needsOutgoing)
    }

    @Test("plaintext that did not fit waits for the next read, also while buffers are given back")
    func pendingPlaintext() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(try pair.shakeHands() == .done)
        let message = [UInt8](0..<100)
        #expect(message.withUnsafeBytes { pair.client.write($0) } == .bytes(100))
        pair.carry(from: pair.client, to: pair.server)
        #expect(pair.read(pair.server) == .bytes(16))
        #expect(pair.server.hasPendingPlaintext)
        pair.server.releaseBuffers()
        for _ in 0..<5 { #expect(pair.read(pair.server) == .bytes(16)) }
        #expect(pair.read(pair.server) == .bytes(4))
        #expect(!pair.server.hasPendingPlaintext)
    }

    @Test(
        "a message of every size fits into its plaintext's length and the overhead",
        arguments: [1, 16_384, 16_385, 65_000])
    func overhead(count: Int) throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(try pair.shakeHands() == .done)
        let message = [UInt8](repeating: 7, count: count)
        #expect(message.withUnsafeBytes { pair.client.write($0) } == .bytes(count))
        #expect(pair.client.outgoing.filled.count <= count + (count / 16_384 + 2) * 64)
        #expect(pair.client.outgoing.filled.count > count)
    }

    @Test func aNameThatStandsOnlyInTheSubjectDoesNotCount() throws {
        let pair = try Pair(certificateNames: [], client: "eice.example")
        #expect(try pair.shakeHands().errorCode == .certificate)
    }

    @Test func anExpiredCertificateIsNamedAsSuch() throws {
        let now = Self.now()
        let pair = try Pair(
            certificateNames: [.dns("eice.example")], client: "eice.example", validity: now - 7_200...now - 3_600)
        guard case .failed(let error) = try pair.shakeHands() else {
            Issue.record("an expired certificate was taken")
            return
        }
        #expect(error.code == .certificateTime)
        #expect(error.reason.hasPrefix("the certificate has expired: it ended at "), "\(error)")
    }

    @Test func aCertificateOfAnotherAuthorityIsNotTrusted() throws {
        let pair = try Pair(
            certificateNames: [.dns("eice.example")], client: "eice.example", trustsAnotherAuthority: true)
        #expect(try pair.shakeHands().errorCode == .certificate)
    }

    @Test func bytesThatAreNotTLSAreAViolation() throws {
        let pair = try Pair(certificateNames: [.dns("eice.example")], client: "eice.example")
        #expect(pair.client.handshake() == .needsIncoming)
        pair.feed(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), to: pair.client)
        #expect(pair.client.handshake().errorCode == .violation)
    }

    /// OpenSSL takes names of 1 to 255 bytes (RFC 6066, section 3).
    @Test(arguments: ["", String(repeating: "a", count: 256)])
    func aNameThatCannotBeSentIsRefused(name: String) {
        let error = #expect(throws: TLSError.self) { try TLSSession(context: TLSContext(), serverName: name) }
        #expect(error?.code == .configuration)
        #expect(error?.reason.contains("is no name that TLS can check") == true, "\(String(describing: error))")
    }

    @Test func rootsThatCannotBeReadAreNamed() {
        #expect {
            try TLSContext(trustingFile: "/nonexistent/ca.pem")
        } throws: { error in
            (error as? TLSError)?.code == .configuration && "\(error)".contains("/nonexistent/ca.pem")
        }
    }
}

extension TLSSession.Handshake {
    fileprivate var errorCode: TLSError.Code? {
        if case .failed(let error) = self { error.code } else { nil }
    }
}

/// Two sessions in one process, joined by memory.
private final class Pair {
    let client: TLSSession
    let server: TLSSession
    private var areas: [UnsafeMutableRawBufferPointer] = []

    init(
        certificateNames: [CertificateTemplate.Name], client name: String, validity: ClosedRange<Int64>? = nil,
        trustsAnotherAuthority: Bool = false
    ) throws {
        let now = Int64(Date().timeIntervalSince1970)
        let root = CertificateTemplate.authority(commonName: "Test CA", now: now)
        let authority = try CertificateIssuer.issue(root)
        var leaf = CertificateTemplate.server(commonName: "eice.example", names: certificateNames, now: now)
        if let validity {
            leaf.notBefore = validity.lowerBound
            leaf.notAfter = validity.upperBound
        }
        let issued = try CertificateIssuer.issue(leaf, by: authority)
        let trusted = trustsAnotherAuthority ? try CertificateIssuer.issue(root) : authority
        let path = FileManager.default.temporaryDirectory.appending(path: "eiced-\(UUID().uuidString).pem")
        try Data(trusted.certificate.utf8).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        client = try TLSSession(context: TLSContext(trustingFile: path.path), serverName: name)
        server = try TLSSession(
            server: TLSContext(certificateChain: issued.certificate, privateKey: issued.privateKey))
        for session in [client, server] {
            for area in [\TLSSession.incoming, \TLSSession.outgoing] {
                let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 70_000, alignment: 16)
                areas.append(memory)
                session[keyPath: area].lend(memory)
            }
        }
    }

    deinit { for area in areas { area.deallocate() } }

    func shakeHands() throws -> TLSSession.Handshake {
        for _ in 0..<10 {
            let one = client.handshake()
            carry(from: client, to: server)
            let other = server.handshake()
            carry(from: server, to: client)
            if case .failed = one { return one }
            if one == .done, other == .done { return .done }
        }
        return .needsIncoming
    }

    func carry(from: TLSSession, to: TLSSession) {
        let bytes = Array(from.outgoing.filled)
        from.outgoing.consume(bytes.count)
        feed(bytes, to: to)
    }

    func feed(_ bytes: [UInt8], to session: TLSSession) {
        session.incoming.free.copyBytes(from: bytes)
        session.incoming.append(bytes.count)
    }

    func read(_ session: TLSSession) -> TLSSession.Progress {
        var memory = [UInt8](repeating: 0, count: 16)
        return memory.withUnsafeMutableBytes { session.read(into: $0) }
    }

    func send(_ message: [UInt8], from: TLSSession, to: TLSSession) -> [UInt8] {
        guard message.withUnsafeBytes({ from.write($0) }) == .bytes(message.count) else { return [] }
        carry(from: from, to: to)
        var received: [UInt8] = []
        var memory = [UInt8](repeating: 0, count: 20_000)
        while received.count < message.count,
            case .bytes(let count) = memory.withUnsafeMutableBytes({ to.read(into: $0) })
        {
            received += memory.prefix(count)
        }
        return received
    }
}
