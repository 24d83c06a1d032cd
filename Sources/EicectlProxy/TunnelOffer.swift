import CLinux
import Descriptors
import Glibc

/// Serves a client of which it is unknown whether it takes a descriptor (``ProxyClient/unknown``), so that it gets what it expects
/// either way.
///
/// The tunnel's first byte is sent with the descriptor attached, and all others behind it, without taking them out of the tunnel.
/// OpenSSH takes one byte with a descriptor, whatever the byte is, and closes the socket (mm_receive_fd() in monitor_fdpass.c);
/// then it finds all bytes in the tunnel. Every other client reads the bytes, the kernel drops the descriptor that it did not ask
/// for, and then it writes, which OpenSSH never does.
struct TunnelOffer {
    enum End: Equatable {
        /// The client has the descriptor, or is gone.
        case closed
        /// The client reads: what it got has been taken out of the tunnel, which is its from here on.
        case reads
        /// The tunnel has ended, and all of it is delivered.
        case ended(received: Int)
        case failed(SystemError)
    }

    /// So many bytes are delivered before the client has shown which of the two it is.
    static let capacity = 64 << 10
    /// How often a client that got all of them is looked at.
    private static let interval: CInt = 20

    private let socket: CInt
    private let stream: FileDescriptor
    private let watch: FileDescriptor
    private var buffer = [UInt8](repeating: 0, count: capacity)
    private var sent = 0
    private var hasEnded = false

    /// - Parameters:
    ///   - stream: the tunnel; it stays the caller's.
    ///   - socket: stdin and stdout.
    init(_ stream: FileDescriptor, over socket: CInt) throws(SystemError) {
        self.stream = stream
        self.socket = socket
        let raw = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard raw >= 0 else { throw SystemError("epoll_create1") }
        watch = FileDescriptor(takingOwnership: raw)
        // Edge-triggered, since bytes that stay in the tunnel would else be reported again and again.
        var event = epoll_event(
            events: EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: stream.raw))
        guard epoll_ctl(raw, EPOLL_CTL_ADD, stream.raw, &event) == 0 else { throw SystemError("epoll_ctl") }
    }

    mutating func run() -> End {
        var available = 0
        while true {
            if let end = clientsEnd() { return end }
            if sent < available, !send(upTo: available) { return .closed }
            // The end is reported once, possibly together with the bytes that were just sent.
            if hasEnded, sent == available, available < buffer.count { return .ended(received: available) }
            let isFull = sent == buffer.count
            if isFull, hasReadAll { return take() }
            var polled = [
                pollfd(fd: socket, events: Int16(sent < available ? POLLIN | POLLOUT : POLLIN), revents: 0),
                pollfd(fd: isFull ? -1 : watch.raw, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&polled, 2, isFull ? Self.interval : -1) >= 0 || errno == EINTR else {
                return .failed(SystemError("poll"))
            }
            guard polled[1].revents != 0 else { continue }
            var event = epoll_event()
            _ = epoll_wait(watch.raw, &event, 1, 0)
            hasEnded = hasEnded || event.events & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
            available = max(available, recv(stream.raw, &buffer, buffer.count, CInt(MSG_PEEK | MSG_DONTWAIT)))
        }
    }

    /// What the client shows by itself; nil while it shows nothing.
    private func clientsEnd() -> End? {
        var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard poll(&polled, 1, 0) > 0 else { return nil }
        if polled.revents & Int16(POLLHUP | POLLERR | POLLNVAL) != 0 { return .closed }
        // It has written, or has nothing to write any more: both is what a reader does.
        return polled.revents & Int16(POLLIN) != 0 ? take() : nil
    }

    /// Whether the client has read more than the byte with the descriptor. A client that closed the socket has read nothing more,
    /// but its queue is empty too: the hang-up comes first (unix_release_sock() of the kernel), so it is looked for afterwards.
    private var hasReadAll: Bool {
        guard clinux_unread_by_peer(socket) == 0 else { return false }
        var polled = pollfd(fd: socket, events: 0, revents: 0)
        return poll(&polled, 1, 0) == 0
    }

    /// - Returns: false when the client is gone.
    private mutating func send(upTo available: Int) -> Bool {
        while sent < available {
            let (socket, from) = (socket, sent)
            var number = stream.raw
            let count = buffer.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return 0 }
                return from == 0
                    ? clinux_send_descriptors(socket, start, 1, &number, 1)
                    : Glibc.send(socket, start + from, available - from, CInt(MSG_DONTWAIT | MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return true }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Takes out of the tunnel what the client has read.
    private func take() -> End {
        var left = sent
        var bytes = [UInt8](repeating: 0, count: max(1, left))
        while left > 0 {
            let count = recv(stream.raw, &bytes, left, CInt(MSG_DONTWAIT))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return .failed(SystemError("read from the tunnel")) }
            left -= count
        }
        return .reads
    }
}
