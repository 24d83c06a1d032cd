import Glibc
import OpenSSL
import SecureSocket
import SocketIO
import TestSupport
import WebSocket

import class EICEEmulator.Emulator

@testable import EICEEmulator

/// A client of an endpoint as simple as can be: blocking, one thread, each step on its own, so that a test can do what
/// a good client never would. Its signing is the verifier's rules turned around; that they are AWS's is for
/// `SignatureVerifierTests` to show.
final class TunnelClient {
    static let endpoint = "eice-0123456789abcdef0"
    static let hostName = "\(endpoint).ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"

    let socket: LoopbackSocket
    private let tls: BlockingTLS
    private(set) var webSocket = WebSocketStateMachine(role: .client)
    private var plain: [UInt8] = []
    private(set) var events: [Event] = []

    enum Event: Equatable {
        case data([UInt8])
        case ping([UInt8])
        case close(CloseFrame)
        case violation(ProtocolViolation)
    }

    struct Answer: Equatable {
        var status: Int
        var head: String
        var body: String
    }

    /// Where an emulator is, whether it runs in this process or in another.
    struct Place: Sendable {
        var port: UInt16
        var authorityFile: String
        var credentials: Credentials
        var endpoint = TunnelClient.endpoint

        init(_ emulator: Emulator) {
            port = emulator.tunnelPort
            authorityFile = emulator.authorityFile
            credentials = emulator.credentials
        }

        init(_ facts: EmulatorEnvironment.Facts) {
            port = facts.tunnelPort
            authorityFile = facts.authorityFile
            credentials = Credentials(
                accessKeyID: facts.environment["AWS_ACCESS_KEY_ID"] ?? "",
                secretAccessKey: facts.environment["AWS_SECRET_ACCESS_KEY"] ?? "",
                sessionToken: facts.environment["AWS_SESSION_TOKEN"])
            endpoint = facts.endpoints.first?.id ?? endpoint
        }

        var hostName: String { "\(endpoint).ec2-instance-connect-endpoint.eu-west-1.amazonaws.com" }
    }

    convenience init(_ emulator: Emulator, serverName: String = hostName) throws {
        try self.init(Place(emulator), serverName: serverName)
    }

    init(_ place: Place, serverName: String? = nil) throws {
        let socket = try LoopbackSocket.connect(port: place.port)
        self.socket = socket
        let context = try TLSContext(trustingFile: place.authorityFile)
        let serverName = serverName ?? place.hostName
        tls = BlockingTLS(
            try TLSSession(context: context, serverName: serverName), receive: { try socket.read(into: $0) },
            send: { try socket.write($0) })
    }

    // MARK: TLS

    func handshake() throws { try tls.handshake() }

    func write(_ bytes: [UInt8]) throws { try tls.write(bytes) }

    /// Some plaintext; none at TLS's proper end.
    ///
    /// - Throws: a `TLSError` at an improper one.
    func read() throws -> [UInt8] { try tls.read() }

    // MARK: The upgrade

    /// A signed request for a tunnel.
    static func target(
        _ emulator: Emulator, endpoint: String = endpoint, address: String = "10.0.1.5", port: String = "22",
        duration: String? = "3600", at date: Int64 = Int64(time(nil)), host: String = hostName,
        changing: (inout [(String, String)]) -> Void = { _ in }, secret: String? = nil
    ) -> String {
        target(
            Place(emulator), endpoint: endpoint, address: address, port: port, duration: duration, at: date, host: host,
            changing: changing, secret: secret)
    }

    static func target(
        _ place: Place, endpoint: String, address: String, port: String, duration: String?, at date: Int64,
        host: String, changing: (inout [(String, String)]) -> Void, secret: String?
    ) -> String {
        let day = DateText.basic(date).prefix(8)
        let scope = "\(day)/eu-west-1/ec2-instance-connect/aws4_request"
        var query = [
            ("instanceConnectEndpointId", endpoint), ("remotePort", port), ("privateIpAddress", address),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", "\(place.credentials.accessKeyID)/\(scope)"),
            ("X-Amz-Date", DateText.basic(date)), ("X-Amz-Expires", "60"), ("X-Amz-SignedHeaders", "host"),
        ]
        if let duration { query.append(("maxTunnelDuration", duration)) }
        if let token = place.credentials.sessionToken { query.append(("X-Amz-Security-Token", token)) }
        changing(&query)
        let text = query.map { "\(PercentCoding.encode($0.0.utf8))=\(PercentCoding.encode($0.1.utf8))" }.sorted()
            .joined(separator: "&")
        let empty = Digest.hexadecimal(Digest.sha256([]))
        let canonical = "GET\n/openTunnel\n\(text)\nhost:\(host)\n\nhost\n\(empty)"
        let toSign =
            "AWS4-HMAC-SHA256\n\(DateText.basic(date))\n\(scope)\n\(Digest.hexadecimal(Digest.sha256(canonical.utf8)))"
        var key = Array("AWS4\(secret ?? place.credentials.secretAccessKey)".utf8)
        for part in scope.split(separator: "/") { key = Digest.hmacSHA256(key: key, message: part.utf8) }
        let signature = Digest.hexadecimal(Digest.hmacSHA256(key: key, message: toSign.utf8))
        return "/openTunnel?\(text)&X-Amz-Signature=\(signature)"
    }

    /// Sends the request and reads the answer's head, and its body if it has a length.
    func upgrade(_ target: String, host: String = hostName, early: [UInt8] = []) throws -> Answer {
        let request = try UpgradeRequest(
            host: host, pathAndQuery: target, key: SecureRandom.bytes(16), userAgent: "test")
        try write(request.bytes + early)
        var bytes: [UInt8] = []
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.range(of: "\r\n\r\n") {
                let head = String(text[..<end.lowerBound])
                guard let status = Int(head.dropFirst(9).prefix(3)) else { throw TestFailure("no status: \(head)") }
                if status == 101 {
                    plain = Array(bytes.dropFirst(head.utf8.count + 4))
                    return Answer(status: status, head: head, body: "")
                }
                while true {
                    let more = try read()
                    if more.isEmpty { break }
                    bytes += more
                }
                let body = String(decoding: bytes.dropFirst(head.utf8.count + 4), as: UTF8.self)
                return Answer(status: status, head: head, body: body)
            }
            let more = try read()
            guard !more.isEmpty else { throw TestFailure("the answer ended: \(text)") }
            bytes += more
        }
    }

    /// All the way to an open tunnel.
    static func open(_ emulator: Emulator, address: String = "10.0.1.5", duration: String? = "3600") throws
        -> TunnelClient
    {
        let client = try TunnelClient(emulator)
        try client.handshake()
        let answer = try client.upgrade(target(emulator, address: address, duration: duration))
        guard answer.status == 101 else { throw TestFailure("\(answer)") }
        return client
    }

    /// The same for a client that is there already.
    func dial(_ place: Place) throws {
        try handshake()
        let target = Self.target(
            place, endpoint: place.endpoint, address: "10.0.1.5", port: "22", duration: "60", at: Int64(time(nil)),
            host: place.hostName, changing: { _ in }, secret: nil)
        let answer = try upgrade(target, host: place.hostName)
        guard answer.status == 101 else { throw TestFailure("\(answer)") }
    }

    // MARK: Frames

    func send(_ bytes: [UInt8]) throws {
        try write(FrameEncoder.frame(.binary, payload: bytes, maskingKey: 0x1234_5678))
    }

    /// Does the client's part of the close handshake.
    func close(_ code: CloseCode = .normal) throws {
        if let frame = webSocket.close(code, maskingKey: 7) { try write(frame) }
    }

    /// The next thing that the endpoint says; nil at TLS's end.
    func next() throws -> Event? {
        while events.isEmpty {
            if plain.isEmpty {
                plain = try read()
                if plain.isEmpty { return nil }
            }
            var offset = 0
            plain.withUnsafeMutableBytes { buffer in
                while let event = webSocket.next(in: buffer, at: &offset) {
                    switch event {
                    case .data(let range, _, _): events.append(.data(Array(buffer[range])))
                    case .ping(let payload): events.append(.ping(payload))
                    case .pong: break
                    case .close(let frame): events.append(.close(frame))
                    case .violation(let violation): events.append(.violation(violation))
                    }
                }
            }
            plain = []
        }
        return events.removeFirst()
    }

    /// Exactly so many bytes of data.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard case .data(let more)? = try next() else { throw TestFailure("the tunnel ended after \(bytes.count)") }
            bytes += more
        }
        return bytes
    }

    /// Data up to the endpoint's Close, and that Close, answered; then the end of TLS.
    func receiveToClose() throws -> (data: [UInt8], close: CloseFrame) {
        var bytes: [UInt8] = []
        while true {
            switch try next() {
            case .data(let more): bytes += more
            case .close(let frame):
                if let reply = webSocket.closeReply(maskingKey: 3) { try write(reply) }
                guard try next() == nil else { throw TestFailure("something came after the Close") }
                return (bytes, frame)
            case let other: throw TestFailure("\(String(describing: other)) instead of a Close")
            }
        }
    }
}

extension String {
    fileprivate func range(of other: String) -> Range<String.Index>? {
        firstRange(of: other)
    }
}

/// An emulator with one endpoint and one instance, 10.0.1.5, whose port 22 is `port` of this host; stopped afterwards.
func runEmulator<Value: Sendable>(
    target port: UInt16, _ change: (inout EmulatorOptions) -> Void = { _ in },
    _ body: @Sendable (Emulator) async throws -> Value
) async throws -> Value {
    var options = EmulatorOptions()
    options.inventory = try Inventory.parse(Array(Inventory.example.utf8), name: "example")
    options.inventory.targets = ["10.0.1.5:22": "127.0.0.1:\(port)"]
    options.log.logLevel = .critical
    change(&options)
    let emulator = try Emulator(options)
    do {
        let value = try await body(emulator)
        await emulator.stop()
        return value
    } catch {
        await emulator.stop()
        throw error
    }
}

/// The same with a body that blocks, on a thread of its own.
func withEmulator<Value: Sendable>(
    target port: UInt16 = 1, _ change: (inout EmulatorOptions) -> Void = { _ in },
    _ body: @escaping @Sendable (Emulator) throws -> Value
) async throws -> Value {
    try await runEmulator(target: port, change) { emulator in try await onThread { try body(emulator) } }
}
