import CLinux
import Glibc
import SocketIO
import TestSupport

/// What a client asks a ``WorkTarget`` for: one byte that says what, eight that say how much.
enum Work: UInt8 {
    /// So many bytes come; one byte answers them.
    case upload = 0x55
    /// So many bytes are wanted.
    case download = 0x44
    /// So many times ``pingLength`` bytes come, and go back.
    case ping = 0x50

    static let pingLength = 64
    static let blockLength = 1 << 18
}

/// A target that takes, sends and echoes with as little work of its own as possible: a block a call, a thread a connection.
final class WorkTarget: Sendable {
    private let server: LoopbackServer

    init() throws {
        server = try LoopbackServer { connection in
            connection.sendsAtOnce()
            let head = try connection.read(exactly: 9)
            // Somebody only looked whether a relay listens.
            guard head.count == 9 else { return }
            let count = head.dropFirst().reversed().reduce(0) { $0 << 8 | Int($1) }
            switch Work(rawValue: head[0]) {
            case .upload:
                try connection.drop(count)
                try connection.write([1])
            case .download: try connection.fill(count)
            case .ping:

                for _ in 0..<count {
                    let ping = try connection.read(exactly: Work.pingLength)
                    guard ping.count == Work.pingLength else { return }
                    try connection.write(ping)
                }
            case nil: throw TestFailure("unknown work \(head)")
            }
        }
    }

    var port: UInt16 { server.port }
}

/// The client's end of a piece of work, through whatever listens on the port.
struct Worker {
    private let socket: LoopbackSocket

    init(_ work: Work, _ count: Int, through port: UInt16) throws {
        socket = try LoopbackSocket.connect(port: port)
        socket.sendsAtOnce()
        var head = [work.rawValue]
        for shift in 0..<8 { head.append(UInt8(truncatingIfNeeded: count >> (8 * shift))) }
        try socket.write(head)
    }

    /// All of an upload or download. Blocks.
    static func carry(_ work: Work, _ count: Int, through port: UInt16) throws {
        let worker = try Worker(work, count, through: port)
        switch work {
        case .upload:
            try worker.socket.fill(count)
            guard try worker.socket.read(exactly: 1).count == 1 else { throw TestFailure("an upload was not answered") }
        case .download, .ping: try worker.socket.drop(count)
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
}

extension LoopbackSocket {
    fileprivate func sendsAtOnce() {
        var on: CInt = 1
        setsockopt(descriptor.raw, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
    }

    /// Sends so many bytes.
    fileprivate func fill(_ count: Int) throws {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Work.blockLength, alignment: 64)
        defer { block.deallocate() }
        block.initializeMemory(as: UInt8.self, repeating: 0x2A)
        var left = count
        while left > 0 {
            let part = min(left, block.count)
            try write(UnsafeRawBufferPointer(rebasing: block[..<part]))
            left -= part
        }
    }

    /// Takes so many bytes.
    fileprivate func drop(_ count: Int) throws {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Work.blockLength, alignment: 64)
        defer { block.deallocate() }
        var left = count
        while left > 0 {
            let part = try read(into: UnsafeMutableRawBufferPointer(rebasing: block[..<min(left, block.count)]))
            guard part > 0 else { throw TestFailure("the stream ended with \(left) bytes missing") }
            left -= part
        }
    }
}
