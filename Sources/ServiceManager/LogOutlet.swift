import CLinux
import Glibc
import SocketIO
import Synchronization

/// Where written entries go.
protocol LogSink: Sendable {
    /// Writes an entry if that takes no waiting. False where it would; an entry that can never be written counts as written.
    func attempt(_ entry: [UInt8]) -> Bool
    /// Writes an entry, however long it takes.
    func write(_ entry: [UInt8])
}

/// Hands entries to a sink and never waits for it: while it takes none they are kept, up to a bound, and written by a thread
/// that lives as long as there are any. From any thread.
///
/// As long as the sink takes entries at once, they are there when the call returns: also after a crash, and in order.
final class LogOutlet: Sendable {
    private struct State {
        var waiting: [[UInt8]] = []
        var bytes = 0
        var lost = 0
        /// A thread waits for the sink: whatever comes now comes after what it has.
        var isBlocked = false
    }

    private let sink: any LogSink
    private let mostEntries: Int
    private let mostBytes: Int
    /// What tells of entries that were lost.
    private let lostEntry: @Sendable (Int) -> [UInt8]
    private let state = Mutex(State())

    init(
        _ sink: any LogSink, mostEntries: Int = 4_096, mostBytes: Int = 4 << 20,
        lostEntry: @escaping @Sendable (Int) -> [UInt8]
    ) {
        self.sink = sink
        self.mostEntries = mostEntries
        self.mostBytes = mostBytes
        self.lostEntry = lostEntry
    }

    func send(_ entry: [UInt8]) {
        let mustStart = state.withLock { state in
            if !state.isBlocked, sink.attempt(entry) { return false }
            guard state.waiting.count < mostEntries, state.bytes + entry.count <= mostBytes else {
                state.lost += 1
                return false
            }
            state.waiting.append(entry)
            state.bytes += entry.count
            defer { state.isBlocked = true }
            return !state.isBlocked
        }
        if mustStart { startThread() }
    }

    /// Whether all entries have been written.
    var isIdle: Bool { state.withLock { !$0.isBlocked } }

    private func startThread() {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<LogOutlet>.fromOpaque(context).takeRetainedValue().drain() }
                return nil
            }, context.toOpaque())
        guard code != 0 else {
            pthread_detach(thread)
            return
        }
        // No thread is to be had: what waits is lost, and the next entry tries anew.
        context.release()
        state.withLock { state in
            state.lost += state.waiting.count
            (state.waiting, state.bytes, state.isBlocked) = ([], 0, false)
        }
    }

    private func drain() {
        while true {
            let (entries, lost): ([[UInt8]], Int) = state.withLock { state in
                let found = (state.waiting, state.lost)
                (state.waiting, state.bytes, state.lost) = ([], 0, 0)
                if found.0.isEmpty, found.1 == 0 { state.isBlocked = false }
                return found
            }
            if entries.isEmpty, lost == 0 { return }
            for entry in entries { sink.write(entry) }
            if lost > 0 { sink.write(lostEntry(lost)) }
        }
    }
}

/// A descriptor: a terminal, a pipe, a file.
struct DescriptorSink: LogSink {
    let descriptor: CInt

    func attempt(_ entry: [UInt8]) -> Bool {
        // A pipe that is ready takes as much at once, and whole (pipe(7)).
        guard entry.count <= Int(PIPE_BUF) || isFile else { return false }
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&ready, 1, 0) >= 0 else { return errno != EINTR }
        guard ready.revents != 0 else { return false }
        write(entry)
        return true
    }

    private var isFile: Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    func write(_ entry: [UInt8]) {
        entry.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                if count > 0 {
                    written += count
                } else if count < 0, errno == EAGAIN {
                    var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&ready, 1, -1)
                } else if count == 0 || errno != EINTR {
                    // A log that cannot be written must not stop the daemon.
                    return
                }
            }
        }
    }
}

/// The journal, by its own protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram an entry. libsystemd speaks the same,
/// and waits where this must not.
struct JournalSink: LogSink {
    static let standardPath = "/run/systemd/journal/socket"

    private let socket: FileDescriptor
    private let address: SocketAddress

    init?(path: String = standardPath) {
        let raw = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0, let address = SocketAddress(unixPath: path) else { return nil }
        socket = FileDescriptor(takingOwnership: raw)
        self.address = address
        // For long entries, as libsystemd does; what the system allows is as good.
        var size: CInt = 8 << 20
        setsockopt(raw, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
    }

    // A journal that is gone, or an entry that is too long for it, is nothing to wait for.
    func attempt(_ entry: [UInt8]) -> Bool { send(entry, flags: CInt(MSG_DONTWAIT)) != EAGAIN }

    func write(_ entry: [UInt8]) { _ = send(entry, flags: 0) }

    /// - Returns: 0 or an errno.
    private func send(_ entry: [UInt8], flags: CInt) -> CInt {
        while true {
            let count = entry.withUnsafeBytes { bytes in
                address.withSockaddr {
                    sendto(socket.raw, bytes.baseAddress, bytes.count, flags | CInt(MSG_NOSIGNAL), $0, $1)
                }
            }
            if count >= 0 { return 0 }
            if errno != EINTR { return errno }
        }
    }
}
