import CLinux
import Failures
import FoundationEssentials
import Glibc
import SocketIO

/// A message with the descriptors that ride on it.
struct HandoverPacket {
    var message: HandoverMessage
    var descriptors: [FileDescriptor] = []
}

/// Packets on a socket of sequenced packets (unix(7)): each arrives whole, with its descriptors, or not at all.
enum HandoverSocket {
    /// More than any packet has.
    private static let longest = 64 << 10

    enum Received {
        case packet(HandoverPacket)
        /// Of a kind that this release does not know.
        case unknown
        case nothing
        case end
    }

    static func pair() throws(SystemError) -> (FileDescriptor, FileDescriptor) {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw SystemError("make a pair of sockets") }
        return (FileDescriptor(takingOwnership: ends[0]), FileDescriptor(takingOwnership: ends[1]))
    }

    static func make() throws(SystemError) -> FileDescriptor {
        let raw = socket(AF_UNIX, type, 0)
        guard raw >= 0 else { throw SystemError("make a socket") }
        return FileDescriptor(takingOwnership: raw)
    }

    private static var type: CInt {
        CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    }

    /// - Returns: false when there is no room at present.
    static func send(_ packet: HandoverPacket, on socket: FileDescriptor) throws(SystemError) -> Bool {
        guard let bytes = try? JSONEncoder().encode(packet.message) else {
            throw SystemError("write a message as JSON", code: EINVAL)
        }
        let descriptors = packet.descriptors.map(\.raw)
        while true {
            let sent = Array(bytes).withUnsafeBytes {
                clinux_send_descriptors(socket.raw, $0.baseAddress, $0.count, descriptors, descriptors.count)
            }
            if sent >= 0 { return true }
            switch errno {
            case EINTR: continue
            case EAGAIN: return false
            default: throw SystemError("send a message")
            }
        }
    }

    static func receive(from socket: FileDescriptor) throws(SystemError) -> Received {
        var bytes = [UInt8](repeating: 0, count: longest)
        var raw = [CInt](repeating: -1, count: CLINUX_MAX_DESCRIPTORS)
        var count = 0
        var truncated: CInt = 0
        var length = -1
        repeat {
            length = clinux_receive_descriptors(
                socket.raw, &bytes, bytes.count, CInt(MSG_DONTWAIT), &raw, &count, &truncated)
        } while length < 0 && errno == EINTR
        if length < 0, errno == EAGAIN { return .nothing }
        guard length >= 0 else { throw SystemError("receive a message") }
        let descriptors = raw.prefix(count).map { FileDescriptor(takingOwnership: $0) }
        guard length > 0 else { return .end }
        guard truncated == 0 else { throw SystemError("receive descriptors", code: EMFILE) }
        guard let message = try? JSONDecoder().decode(HandoverMessage.self, from: Data(bytes.prefix(length))) else {
            return .unknown
        }
        return .packet(HandoverPacket(message: message, descriptors: descriptors))
    }
}

/// Such a socket on a loop: what cannot be sent at once leaves when there is room. Confined to its loop.
final class HandoverChannel: ReadinessHandler {
    let socket: FileDescriptor
    /// Told of each message. Set before the first turn of the loop, as is `onEnd`.
    var onMessage: ((HandoverMessage) -> Void)?
    /// The other process has closed its end, or is gone. Told once, not after `close`.
    var onEnd: (() -> Void)?
    private var registration: Registration?
    private var outbox: [HandoverPacket] = []

    init(_ socket: FileDescriptor, on loop: isolated Loop) throws(SystemError) {
        self.socket = socket
        try socket.setNonBlocking()
        registration = try loop.register(socket, self)
    }

    func send(_ message: HandoverMessage, _ descriptors: [FileDescriptor] = [], on loop: isolated Loop) {
        // Of what is reported only the latest counts, and the reader may be gone for a while.
        if message.kind == .taken { outbox.removeAll { $0.message.kind == .taken } }
        outbox.append(HandoverPacket(message: message, descriptors: descriptors))
        flush(on: loop)
    }

    func isReady(_ readiness: Readiness, on loop: isolated Loop) {
        flush(on: loop)
        while registration != nil {
            do throws(SystemError) {
                switch try HandoverSocket.receive(from: socket) {
                case .packet(let packet): onMessage?(packet.message)
                case .unknown: break
                case .nothing: return
                case .end: return end(on: loop)
                }
            } catch {
                return end(on: loop)
            }
        }
    }

    private func flush(on loop: isolated Loop) {
        while registration != nil, let first = outbox.first {
            do throws(SystemError) {
                guard try HandoverSocket.send(first, on: socket) else { return }
                outbox.removeFirst()
            } catch {
                // Told from the loop's own turn, not from within a call of its user's.
                outbox = []
                return loop.soon { [self] in end(on: loop) }
            }
        }
    }

    private func end(on loop: isolated Loop) {
        guard registration != nil else { return }
        let tell = onEnd
        close(on: loop)
        tell?()
    }

    /// Watches it no longer, and leaves it open for whoever has it next.
    func release(on loop: isolated Loop) {
        if let registration { loop.deregister(registration) }
        registration = nil
        // Nothing is told from here on, and what would have been may hold this channel.
        onMessage = nil
        onEnd = nil
    }

    func close(on loop: isolated Loop) {
        release(on: loop)
        socket.close()
    }
}
