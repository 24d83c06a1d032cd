import CLinux
import FoundationEssentials
import Glibc
import OpenSSL
import SecureSocket
import SocketIO
import Synchronization
import TestSupport
import WebSocket

/// An endpoint that does what a real one must not: TLS with any certificate, a WebSocket with any bytes.
final class RogueEndpoint: Sendable {
    static let id = "eice-0666666666666666a"
    static let name = "rogue.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"

    let server: LoopbackServer
    private let directory: TemporaryDirectory

    /// - Parameters:
    ///   - certificate: changes what the certificate says; a good one for ``name`` otherwise.
    ///   - trusted: whether the daemon is told to trust the authority that signed it.
    ///   - serve: what it does once TLS stands.
    init(
        trusted: Bool = true, certificate change: (inout CertificateTemplate) -> Void,
        serve: @escaping @Sendable (TLSPeer) throws -> Void
    ) throws {
        let now = Int64(Date().timeIntervalSince1970)
        let root = CertificateTemplate.authority(commonName: "Rogue Test CA", now: now)
        let authority = try CertificateIssuer.issue(root)
        var template = CertificateTemplate.server(commonName: "rogue", names: [.dns(Self.name)], now: now)
        change(&template)
        let leaf = try CertificateIssuer.issue(template, by: authority)
        directory = try TemporaryDirectory("rogue")
        try directory.write(
            "ca.pem", trusted ? authority.certificate : try CertificateIssuer.issue(root).certificate)
        server = try LoopbackServer { connection in
            let context = try TLSContext(certificateChain: leaf.certificate, privateKey: leaf.privateKey)
            try serve(try TLSPeer(connection, context))
        }
    }

    /// One with a good certificate.
    convenience init(_ serve: @escaping @Sendable (TLSPeer) throws -> Void) throws {
        try self.init(certificate: { _ in }, serve: serve)
    }

    /// One that speaks no TLS.
    static func plain(_ serve: @escaping @Sendable (LoopbackSocket) throws -> Void) throws -> RogueEndpoint {
        try RogueEndpoint(server: LoopbackServer(serve))
    }

    private init(server: LoopbackServer) throws {
        let unused = CertificateTemplate.authority(
            commonName: "Unused CA", now: Int64(Date().timeIntervalSince1970))
        directory = try TemporaryDirectory("rogue")
        try directory.write("ca.pem", try CertificateIssuer.issue(unused).certificate)
        self.server = server
    }

    /// What the daemon needs to come here.
    var environment: [String: String] { Self.environment(roots: directory("ca.pem"), port: server.port) }

    /// The same for a server of a test's own.
    static func environment(roots: String, port: UInt16) -> [String: String] {
        [
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/EXAMPLEKEY",
            "AWS_REGION": "eu-west-1", "AWS_CA_BUNDLE": roots, "EICED_CONNECT_TO": "127.0.0.1:\(port)",
        ]
    }

    /// The arguments that name it and an address behind it, so that nothing is looked up.
    static let pinned = ["--endpoint", id, "--endpoint-dns", name]
    static let address = "10.0.1.5"
}

/// The server's side of a TLS connection, blocking.
final class TLSPeer {
    private let socket: LoopbackSocket
    private let tls: BlockingTLS

    /// Shakes hands.
    init(_ socket: LoopbackSocket, _ context: TLSContext) throws {
        self.socket = socket
        tls = BlockingTLS(
            try TLSSession(server: context), receive: { try socket.read(into: $0) }, send: { try socket.write($0) })
        try tls.handshake()
    }

    /// Some plaintext; none at the end.
    func read() throws -> [UInt8] {
        do {
            return try tls.read()
        } catch let error as TLSError where error.code == .truncated {
            return []
        }
    }

    func write(_ bytes: [UInt8]) throws { try tls.write(bytes) }

    /// Lets time pass between two pieces of a slow answer. True when the other side has gone.
    func pause(milliseconds: CInt) throws -> Bool {
        // Until something comes, which here is only the end.
        var waiting = pollfd(fd: socket.descriptor.raw, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, milliseconds) > 0
    }

    /// Ends TLS in order.
    func end() throws {
        try tls.sendCloseNotify()
        socket.shutdownWrite()
    }

    /// Reads the request for the upgrade and accepts it.
    func acceptUpgrade() throws {
        let head = try readRequest()
        guard
            let line = head.split(separator: "\r\n").first(where: {
                $0.lowercased().hasPrefix("sec-websocket-key:")
            }), let key = line.split(separator: " ").last
        else { throw TestFailure("no key in \(head)") }
        try write(UpgradeResponse.accepting(key: String(key)))
    }

    /// The head of a request, up to its empty line.
    func readRequest() throws -> String {
        var head = ""
        while !head.contains("\r\n\r\n") {
            let more = try read()
            if more.isEmpty { throw TestFailure("the request ended early: \(head)") }
            head += String(decoding: more, as: UTF8.self)
        }
        return head
    }

    func send(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, maskingKey: UInt32? = nil) throws {
        try write(FrameEncoder.frame(opcode, isFinal: isFinal, payload: payload, maskingKey: maskingKey))
    }

    func sendClose(_ code: UInt16, _ reason: String) throws {
        try send(.close, [UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8))
    }

    /// Reads frames until one with `opcode` comes and returns its payload. Frames are short here.
    func waitForFrame(_ opcode: Opcode) throws -> [UInt8] {
        var pending: [UInt8] = []
        while true {
            // RFC 6455, section 5.2: a client's short frame is two bytes, four of the mask, and the payload.
            while pending.count >= 6, pending.count >= 6 + Int(pending[1] & 0x7F) {
                let length = Int(pending[1] & 0x7F)
                guard length < 126 else { throw TestFailure("a longer frame than this reader takes") }
                let mask = pending[2..<6]
                let payload = pending[6..<6 + length].enumerated().map { $1 ^ mask[2 + $0 % 4] }
                let found = pending[0] & 0x0F == opcode.rawValue
                pending.removeFirst(6 + length)
                if found { return payload }
            }
            let more = try read()
            if more.isEmpty { throw TestFailure("the connection ended before a frame \(opcode) came") }
            pending += more
        }
    }
}

/// What a server's thread tells the test.
final class Report<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])

    func add(_ value: Value) { values.withLock { $0.append(value) } }

    var all: [Value] { values.withLock { $0 } }
}

/// A port on which a connect hangs: a listener with a backlog of one, which is full.
final class FullListener: Sendable {
    let port: UInt16
    private let listener: FileDescriptor
    private let fillers: [FileDescriptor]

    init() throws {
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        listener = FileDescriptor(takingOwnership: socket(AF_INET, kind, 0))
        port = try bindToFreePort(listener.raw, .ipv4)
        guard listen(listener.raw, 0) == 0 else { throw SystemError("listen") }
        // Without blocking, since the last of them hang as intended.
        fillers = (0..<8).map { _ in
            FileDescriptor(takingOwnership: socket(AF_INET, kind | CInt(SOCK_NONBLOCK.rawValue), 0))
        }
        for filler in fillers {
            withLoopbackAddress(port: port, family: .ipv4) { _ = Glibc.connect(filler.raw, $0, $1) }
        }
    }
}
