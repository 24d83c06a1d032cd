import CLinux
import Glibc
import SocketIO
import Synchronization
import TestSupport

/// A target that speaks first, as sshd does, and then holds thousands of connections without a thread for each.
final class ParkedTarget: Sendable {
    let port: UInt16
    private let listener: FileDescriptor
    private let set: FileDescriptor
    private let stop = Stop()

    private final class Stop: Sendable {
        let isOn = Atomic(false)
    }

    init() throws {
        let raw = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw SystemError("socket") }
        listener = FileDescriptor(takingOwnership: raw)
        port = try bindToFreePort(raw, .ipv4)
        guard listen(raw, 4_096) == 0 else { throw SystemError("listen") }
        let queue = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard queue >= 0 else { throw SystemError("epoll_create1") }
        set = FileDescriptor(takingOwnership: queue)
        Self.add(raw, EPOLLIN.rawValue, to: queue)
        Task.detached { [listener, set, stop] in
            try await onThread { Self.serve(listener, set) { stop.isOn.load(ordering: .relaxed) } }
        }
    }

    deinit { stop.isOn.store(true, ordering: .relaxed) }

    private static func add(_ descriptor: CInt, _ events: UInt32, to set: CInt) {
        var event = epoll_event(events: events, data: epoll_data_t(fd: descriptor))
        epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event)
    }

    private static func serve(_ listener: FileDescriptor, _ set: FileDescriptor, isOver: () -> Bool) {
        var open: Set<CInt> = []
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        let greeting = Array("SSH-2.0-bench\r\n".utf8)
        while !isOver() {
            let count = epoll_wait(set.raw, &events, CInt(events.count), 500)
            for event in events.prefix(Int(max(0, count))) {
                let descriptor = event.data.fd
                guard descriptor == listener.raw else {
                    // The one thing that a parked connection can tell is its end.
                    close(descriptor)
                    open.remove(descriptor)
                    continue
                }
                let accepted = clinux_accept(listener.raw)
                guard accepted >= 0 else { continue }
                open.insert(accepted)
                greeting.withUnsafeBytes { _ = send(accepted, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
                add(accepted, EPOLLRDHUP.rawValue, to: set.raw)
            }
        }
        for descriptor in open { close(descriptor) }
    }
}
