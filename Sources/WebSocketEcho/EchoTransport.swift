import CLinux
import Glibc
import OpenSSL
import SocketIO

/// A blocking stream to a server, with or without TLS: each call waits, up to a limit.
final class EchoTransport {
    struct Broken: Error { var sentence: String }

    private let socket: FileDescriptor
    private let session: TLSSession?
    private let area: (UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer)

    /// Longer than any test of Autobahn's is silent.
    private static let limit = timeval(tv_sec: 120, tv_usec: 0)

    /// Connects, and shakes hands where the URL says `wss`.
    ///
    /// - Parameter roots: a file of PEM certificates to trust; nil for the system's.
    init(_ url: EchoURL, roots: String?) throws {
        socket = try Self.connect(url)
        if url.isSecure {
            do {
                let context = try roots.map { try TLSContext(trustingFile: $0) } ?? TLSContext()
                session = try TLSSession(context: context, serverName: url.host, port: url.port)
            } catch {
                throw Broken(sentence: "TLS: \(error)")
            }
        } else {
            session = nil
        }
        // Last: what throws before there is an object has none to give memory back.
        area = (.allocate(byteCount: 1 << 17, alignment: 16), .allocate(byteCount: 1 << 17, alignment: 16))
        session?.incoming.lend(area.0)
        session?.outgoing.lend(area.1)
        try shakeHands()
    }

    deinit {
        area.0.deallocate()
        area.1.deallocate()
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

    private func shakeHands() throws {
        guard let session else { return }
        while true {
            let progress = session.handshake()
            try flush()
            switch progress {
            case .done: return
            case .needsOutgoing: continue
            case .needsIncoming: try fill()
            case .failed(let error): throw Broken(sentence: "TLS: \(error)")
            }
        }
    }

    /// Some bytes; none at the end, however the peer ended: the WebSocket's own close decides whether that was in order.
    func read(into memory: UnsafeMutableRawBufferPointer) throws -> Int {
        guard let session else { return try receive(memory) }
        while true {
            switch session.read(into: memory) {
            case .bytes(let count): return count
            case .ended: return 0
            case .failed(let error) where error.code == .truncated: return 0
            case .failed(let error): throw Broken(sentence: "TLS: \(error)")
            case .needsOutgoing: try flush()
            case .needsIncoming:
                try flush()
                try fill()
            }
        }
    }

    func write(_ bytes: [UInt8]) throws {
        guard let session else { return try bytes.withUnsafeBytes { try send($0) } }
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(1 << 15)
            guard part.withUnsafeBytes({ session.write($0) }) == .bytes(part.count) else {
                throw Broken(sentence: "TLS: the server takes nothing more")
            }
            try flush()
            rest = rest.dropFirst(part.count)
        }
    }

    func end() {
        session?.sendCloseNotify()
        try? flush()
        shutdown(socket.raw, CInt(SHUT_WR))
    }

    /// For the last wait: the server closes first, but not all do.
    func limitWaits(to seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(socket.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    private func fill() throws {
        guard let session else { return }
        let count = try receive(session.incoming.free)
        if count == 0 { session.incomingEnded = true }
        session.incoming.append(count)
    }

    private func flush() throws {
        guard let session, !session.outgoing.isEmpty else { return }
        try send(session.outgoing.filled)
        session.outgoing.consume(session.outgoing.filled.count)
    }

    private func receive(_ memory: UnsafeMutableRawBufferPointer) throws -> Int {
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

    private func send(_ bytes: UnsafeRawBufferPointer) throws {
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
