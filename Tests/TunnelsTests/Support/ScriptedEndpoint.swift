import Glibc
import OpenSSL
import SecureSocket
import SocketIO
import TestSupport
import WebSocket

/// The certificates of the tests' endpoints.
enum TestCertificates {
    static let name = "eice.test"
    static let authority: IssuedCertificate? = issue(.authority(commonName: "Test CA", now: now))
    static let good = server()
    static let otherName = server { $0.names = [.dns("other.test")] }
    static let expired = server {
        $0.notBefore = now - 7_200
        $0.notAfter = now - 3_600
    }
    static let untrusted = issue(.server(commonName: name, names: [.dns(name)], now: now))

    private static var now: Int64 { Int64(time(nil)) }

    private static func server(_ spoil: (inout CertificateTemplate) -> Void = { _ in }) -> IssuedCertificate? {
        var template = CertificateTemplate.server(commonName: name, names: [.dns(name)], now: now)
        spoil(&template)
        return issue(template, by: authority)
    }

    private static func issue(
        _ template: CertificateTemplate, by authority: IssuedCertificate? = nil
    ) -> IssuedCertificate? {
        try? CertificateIssuer.issue(template, by: authority)
    }
}

/// An endpoint whose every move a test writes down: one thread a connection, blocking calls.
final class ScriptedEndpoint: Sendable {
    private let server: LoopbackServer

    /// - Parameter script: begins with a connected socket and nothing on it.
    init(
        certificate: IssuedCertificate? = TestCertificates.good,
        _ script: @escaping @Sendable (EndpointConnection) throws -> Void
    ) throws {
        guard let certificate else { throw TestFailure("no certificate could be issued") }
        let context = try TLSContext(
            certificateChain: certificate.certificate, privateKey: certificate.privateKey)
        server = try LoopbackServer { try script(EndpointConnection($0, context)) }
    }

    /// Opens each tunnel, then runs `script`.
    static func open(_ script: @escaping @Sendable (EndpointConnection) throws -> Void) throws -> ScriptedEndpoint {
        try ScriptedEndpoint { connection in
            try connection.open()
            try script(connection)
        }
    }

    static func echo() throws -> ScriptedEndpoint { try open { try $0.echo() } }

    /// Refuses connections from now on, and ends those there are.
    func stop() { server.stop() }

    var port: UInt16 { server.port }
    var openCount: Int { server.openCount }
    var acceptedCount: Int { server.acceptedCount }
}

/// One connection of a ``ScriptedEndpoint``.
final class EndpointConnection {
    enum Heard: Equatable {
        case data([UInt8])
        case ping([UInt8])
        case pong([UInt8])
        case close(UInt16?, String)
        case violation
        /// TLS ended, in order or not.
        case end
    }

    let socket: LoopbackSocket
    private let tls: BlockingTLS
    private var webSocket = WebSocketStateMachine(role: .server)
    private var heard: [Heard] = []

    init(_ socket: LoopbackSocket, _ context: TLSContext) throws {
        self.socket = socket
        tls = BlockingTLS(
            try TLSSession(server: context), receive: { try socket.read(into: $0) }, send: { try socket.write($0) })
    }

    // MARK: The dial

    func handshake() throws { try tls.handshake() }

    /// Whether the client resumed an earlier session. After the handshake.
    var wasResumed: Bool { tls.session.wasResumed }

    func request() throws -> HTTPRequestHead {
        var parser = UpgradeRequestParser()
        while true {
            let bytes = try tls.read()
            guard !bytes.isEmpty else { throw TestFailure("no request came") }
            switch bytes.withUnsafeBytes({ parser.feed($0) }) {
            case .needMore: continue
            case .request(let head, _): return head
            case .violation(_, let sentence): throw TestFailure(sentence)
            }
        }
    }

    /// - Parameter firstBytes: frames that ride in the same write as the answer.
    func open(firstBytes: [UInt8] = []) throws {
        try handshake()
        try accept(try request(), firstBytes: firstBytes)
    }

    /// Answers a request for a tunnel.
    func accept(_ request: HTTPRequestHead, firstBytes: [UInt8] = []) throws {
        let key = try request.webSocketKey()
        let headers = HTTPHeaders([.init("x-amzn-RequestId", "request-1")])
        try sendRaw(UpgradeResponse.accepting(key: key, headers: headers) + firstBytes)
    }

    // MARK: Sending

    /// Plaintext as it is.
    func sendRaw(_ bytes: [UInt8]) throws { try tls.write(bytes) }

    func send(_ bytes: [UInt8]) throws { try sendRaw(frame(.binary, bytes)) }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ pattern: Pattern, _ range: Range<Int>) throws {
        for start in stride(from: range.lowerBound, to: range.upperBound, by: 60_000) {
            try send(pattern.bytes(start..<min(range.upperBound, start + 60_000)))
        }
    }

    func sendClose(_ code: UInt16, _ reason: String = "") throws {
        if let bytes = webSocket.close(CloseCode(rawValue: code), reason: reason, maskingKey: 0) { try sendRaw(bytes) }
    }

    func sendCloseNotify() throws { try tls.sendCloseNotify() }

    // MARK: Receiving

    /// Whether something can be heard without a wait.
    var hasMore: Bool {
        if !heard.isEmpty || tls.session.hasPendingPlaintext || !tls.session.incoming.isEmpty { return true }
        var waiting = pollfd(fd: socket.descriptor.raw, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, 0) > 0
    }

    func next() throws -> Heard {
        while heard.isEmpty {
            let bytes: [UInt8]
            do {
                bytes = try tls.read()
            } catch is TLSError {
                return .end
            } catch is SystemError {
                return .end
            }
            if bytes.isEmpty { return .end }
            hear(bytes)
        }
        return heard.removeFirst()
    }

    /// Exactly `count` bytes of data.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard case .data(let more) = try next() else { throw TestFailure("the tunnel ended early") }
            bytes += more
        }
        return bytes
    }

    /// What comes instead of data, and how many bytes of that came before.
    func drain() throws -> (bytes: [UInt8], then: Heard) {
        var bytes: [UInt8] = []
        while true {
            let event = try next()
            guard case .data(let more) = event else { return (bytes, event) }
            bytes += more
        }
    }

    /// Sends back what it gets until the other side closes.
    func echo() throws {
        while true {
            switch try next() {
            case .data(let bytes): try send(bytes)
            case .ping, .pong: continue
            case .close:
                try answerClose()
                return
            case .violation, .end: return
            }
        }
    }

    func answerClose() throws {
        if let reply = webSocket.closeReply(maskingKey: 0) { try sendRaw(reply) }
        try sendCloseNotify()
    }

    private func hear(_ bytes: [UInt8]) {
        var bytes = bytes
        bytes.withUnsafeMutableBytes { bytes in
            var offset = 0
            while let event = webSocket.next(in: bytes, at: &offset) {
                switch event {
                case .data(let range, _, _): heard.append(.data(Array(bytes[range])))
                case .ping(let payload): heard.append(.ping(payload))
                case .pong(let payload): heard.append(.pong(payload))
                case .close(let close): heard.append(.close(close.code?.rawValue, close.reason))
                case .violation: heard.append(.violation)
                }
            }
        }
    }
}

/// A server's frame.
func frame(_ opcode: Opcode, _ payload: [UInt8] = [], maskingKey: UInt32? = nil) -> [UInt8] {
    FrameEncoder.frame(opcode, payload: payload, maskingKey: maskingKey)
}
