import FoundationEssentials
import Glibc
import OpenSSL
import SocketIO
import TestSupport
import WebSocket

/// What a client asks a ``WorkServer`` for: one byte that says what, eight that say how much.
enum Work: UInt8 {
    /// So many bytes come; one byte answers them.
    case upload = 0x55
    /// So many bytes are wanted.
    case download = 0x44
    /// So many times ``pingLength`` bytes come, and go back.
    case ping = 0x50

    static let pingLength = 64
}

/// The one server of all that is compared: TLS and the target in the same thread, one thread a connection. Plain TLS relays get
/// to it on one port, eiced, which needs a WebSocket, on another one; the code behind both is the same.
final class WorkServer: Sendable {
    /// As eiced is told of it: an endpoint that is named in full needs no look-up.
    static let endpoint = "eice-0be1c000000000001"
    static let name = name(of: endpoint)

    /// Each endpoint has a name of its own, as AWS's do: sessions are resumed by name.
    static func name(of endpoint: String) -> String { "\(endpoint).\(domain)" }

    private static let domain = "ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"
    /// A remote port on which it speaks first, as sshd does.
    static let greetingPort: UInt16 = 22
    static let workPort: UInt16 = 3_389
    static let greeting = "SSH-2.0-bench\r\n"

    /// For plain TLS.
    let plain: LoopbackServer
    /// For plain TLS, speaking first.
    let greeter: LoopbackServer
    /// For WebSockets.
    let framed: LoopbackServer
    private let folder: TemporaryDirectory
    private let roots: String

    init() throws {
        folder = try TemporaryDirectory("server")
        let now = Int64(Date().timeIntervalSince1970)
        let authority = try CertificateIssuer.issue(.authority(commonName: "Bench CA", now: now))
        let leaf = try CertificateIssuer.issue(
            .server(commonName: "bench", names: [.dns("*.\(Self.domain)")], now: now), by: authority)
        roots = try folder.write("roots.pem", authority.certificate)
        let context = try TLSContext(certificateChain: leaf.certificate, privateKey: leaf.privateKey)
        func server(isWebSocket: Bool, greets: Bool) throws -> LoopbackServer {
            try LoopbackServer(backlog: 4_096) { socket in
                socket.descriptor.setNoDelay()
                let stream = try ServedStream(socket, context: context, isWebSocket: isWebSocket)
                defer { stream.end() }
                let asksForGreeting = stream.request?.target.contains("remotePort=\(Self.greetingPort)&") ?? false
                if greets || asksForGreeting {
                    try Self.greet(stream)
                } else {
                    try Self.serve(stream)
                }
            }
        }
        plain = try server(isWebSocket: false, greets: false)
        greeter = try server(isWebSocket: false, greets: true)
        framed = try server(isWebSocket: true, greets: false)
    }

    /// What a daemon needs to take this for its endpoint.
    var environment: [String: String] {
        [
            "AWS_ACCESS_KEY_ID": "AKIDBENCH", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "eu-west-1",
            "AWS_CA_BUNDLE": roots, "EICED_CONNECT_TO": "127.0.0.1:\(framed.port)",
        ]
    }

    private static func greet(_ stream: ServedStream) throws {
        let batch = ServedStream.batch(greeting.utf8.count)
        defer { batch.deallocate() }
        UnsafeMutableRawBufferPointer(rebasing: batch[FrameHeader.maximumLength...]).copyBytes(from: greeting.utf8)
        try stream.send(batch, greeting.utf8.count)
        while try stream.receive({ _ in }) {}
    }

    private static func serve(_ stream: ServedStream) throws {
        let batch = ServedStream.batch()
        defer { batch.deallocate() }
        var head: [UInt8] = []
        var work: Work?
        var left = 0
        var ping = 0
        while try stream.receive({ bytes in
            var rest = bytes[...]
            if work == nil {
                let missing = rest.prefix(9 - head.count)
                head += missing
                rest = rest.dropFirst(missing.count)
                guard head.count == 9 else { return }
                guard let known = Work(rawValue: head[0]) else { throw TestFailure("unknown work \(head)") }
                work = known
                left = head.dropFirst().reversed().reduce(0) { $0 << 8 | Int($1) }
                if known == .download {
                    while left > 0 {
                        let part = min(left, ServedStream.largestBatch)
                        try stream.send(batch, part)
                        left -= part
                    }
                }
            }
            switch work {
            case .upload:
                left -= rest.count
                if left == 0 { try stream.send(batch, 1) }
            case .ping:
                ping += rest.count
                while ping >= Work.pingLength {
                    ping -= Work.pingLength
                    try stream.send(batch, Work.pingLength)
                }
            case .download, nil: break
            }
        }) {}
    }
}

/// The client's end of a piece of work, through whatever listens on the port.
struct Worker {
    private let socket: LoopbackSocket

    private static let blockLength = 1 << 18

    init(_ work: Work, _ count: Int, through port: UInt16) throws {
        socket = try LoopbackSocket.connect(port: port)
        var head = [work.rawValue]
        for shift in 0..<8 { head.append(UInt8(truncatingIfNeeded: count >> (8 * shift))) }
        try socket.write(head)
    }

    /// All of an upload or download. Blocks.
    static func carry(_ work: Work, _ count: Int, through port: UInt16) throws {
        let worker = try Worker(work, count, through: port)
        switch work {
        case .upload:
            try worker.fill(count)
            guard try worker.socket.read(exactly: 1).count == 1 else { throw TestFailure("an upload was not answered") }
        case .download: try worker.drop(count)
        case .ping: throw TestFailure("pings are not carried but timed")
        }
        worker.socket.close()
    }

    /// One ping, and how long it took. Blocks.
    func ping() throws -> Duration {
        let start = ContinuousClock.now
        try socket.write([UInt8](repeating: 0x2E, count: Work.pingLength))
        guard try socket.read(exactly: Work.pingLength).count == Work.pingLength else {
            throw TestFailure("a ping was not answered")
        }
        return start.duration(to: .now)
    }

    private func fill(_ count: Int) throws {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockLength, alignment: 64)
        defer { block.deallocate() }
        block.initializeMemory(as: UInt8.self, repeating: 0x2A)
        var left = count
        while left > 0 {
            let part = min(left, block.count)
            try socket.write(UnsafeRawBufferPointer(rebasing: block[..<part]))
            left -= part
        }
    }

    private func drop(_ count: Int) throws {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockLength, alignment: 64)
        defer { block.deallocate() }
        var left = count
        while left > 0 {
            let part = try socket.read(into: UnsafeMutableRawBufferPointer(rebasing: block[..<min(left, block.count)]))
            guard part > 0 else { throw TestFailure("the stream ended with \(left) bytes missing") }
            left -= part
        }
    }
}
