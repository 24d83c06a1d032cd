import CLinux
import Glibc
import OpenSSL
import SecureSocket
import SocketIO

/// A blocking stream to a server, with or without TLS: each call waits, up to a limit.
final class EchoTransport {
    struct Broken: Error { var sentence: String }

    private let socket: FileDescriptor
    private let tls: BlockingTLS?

    /// Longer than any test of Autobahn's is silent.
    private static let limit = timeval(tv_sec: 120, tv_usec: 0)

    /// Connects, and shakes hands where the URL says `wss`.
    ///
    /// - Parameter roots: a file of PEM certificates to trust; nil for the system's.
    init(_ url: EchoURL, roots: String?) throws {
        let socket = try Self.connect(url)
        self.socket = socket
        guard url.isSecure else {
            tls = nil
            return
        }
        tls = try Self.namingTLS {
            let context = try roots.map { try TLSContext(trustingFile: $0) } ?? TLSContext()
            let tls = BlockingTLS(
                try TLSSession(context: context, serverName: url.host, port: url.port),
                receive: { try Self.receive(from: socket, into: $0) }, send: { try Self.send($0, over: socket) })
            try tls.handshake()
            return tls
        }
    }

    private static func namingTLS<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as TLSError {
            throw Broken(sentence: "TLS: \(error)")
        }
    }

    private static func connect(_ url: EchoURL) throws -> FileDescriptor {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(url.host, String(url.port), &hints, &list)
        guard code == 0 else { throw Broken(sentence: "\(url.host): \(String(cString: gai_strerror(code)))") }
        defer { freeaddrinfo(list) }
        var error = SystemError("connect to \(url.host) port \(url.port)", code: EADDRNOTAVAIL)
        var next = list
        while let entry = next?.pointee {
            next = entry.ai_next
            let raw = Glibc.socket(entry.ai_family, entry.ai_socktype | CInt(SOCK_CLOEXEC.rawValue), entry.ai_protocol)
            guard raw >= 0 else { continue }
            let socket = FileDescriptor(takingOwnership: raw)
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                var limit = limit
                setsockopt(raw, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
            }
            if Glibc.connect(raw, entry.ai_addr, entry.ai_addrlen) == 0 {
                socket.setNoDelay()
                return socket
            }
            error = SystemError("connect to \(url.host) port \(url.port)")
        }
        throw Broken(sentence: error.description)
    }

    /// Some bytes; none at the end, however the peer ended: the WebSocket's own close decides whether that was in order.
    func read(into memory: UnsafeMutableRawBufferPointer) throws -> Int {
        guard let tls else { return try Self.receive(from: socket, into: memory) }
        return try Self.namingTLS {
            do {
                return try tls.read(into: memory)
            } catch let error as TLSError where error.code == .truncated {
                return 0
            }
        }
    }

    func write(_ bytes: [UInt8]) throws {
        guard let tls else { return try bytes.withUnsafeBytes { try Self.send($0, over: socket) } }
        try Self.namingTLS { try tls.write(bytes) }
    }

    func end() {
        try? tls?.sendCloseNotify()
        shutdown(socket.raw, CInt(SHUT_WR))
    }

    /// For the last wait: the server closes first, but not all do.
    func limitWaits(to seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(socket.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    private static func receive(from socket: FileDescriptor, into memory: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = recv(socket.raw, memory.baseAddress, memory.count, 0)
            if count >= 0 { return count }
            switch errno {
            case EINTR: continue
            // After a failed connection some servers reset theirs, as they may.
            case ECONNRESET: return 0
            default: throw Broken(sentence: SystemError("receive").description)
            }
        }
    }

    private static func send(_ bytes: UnsafeRawBufferPointer, over socket: FileDescriptor) throws {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = Glibc.send(socket.raw, rest.baseAddress, rest.count, CInt(MSG_NOSIGNAL))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Broken(sentence: SystemError("send").description) }
            done += count
        }
    }
}
