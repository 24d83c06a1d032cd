import CLinux
import Glibc

/// Notices that connections may be dead although nothing was heard of it: the machine slept, its clock was set, or its
/// routes changed. Costs nothing at rest.
///
/// A wall-clock timer far away that is cancelled by each discontinuity tells of sleep and of a set clock
/// (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET); rtnetlink(7) tells of routes. Confined to a loop.
public final class DisturbanceWatch {
    /// What happened, for the log.
    public enum Disturbance: String, Sendable {
        case clock = "the machine slept or its clock was set"
        case routes = "the routes changed"
    }

    /// Routes change in bursts: the last one of a burst counts.
    private static let settlingTime = Duration.milliseconds(200)

    private let onDisturbance: (Disturbance) -> Void
    private var sources: [Source] = []
    private var settling: Deadline?

    /// - Parameter onDisturbance: on the loop, once for each burst.
    /// - Throws: when the kernel gives no timer. Where netlink is forbidden, routes are not watched.
    public init(on loop: isolated Loop, onDisturbance: @escaping (Disturbance) -> Void) throws(SystemError) {
        self.onDisturbance = onDisturbance
        let clock = try Self.clockDescriptor()
        let clockSource = Source(clock) { [weak self] in
            Self.arm(clock)
            self?.noticed(.clock, on: loop)
        }
        try clockSource.register(on: loop)
        sources.append(clockSource)
        guard let routes = try? Self.routeDescriptor() else { return }
        let routeSource = Source(routes) { [weak self] in
            if Self.drainRoutes(routes) { self?.noticed(.routes, on: loop) }
        }
        try routeSource.register(on: loop)
        sources.append(routeSource)
    }

    private func noticed(_ disturbance: Disturbance, on loop: isolated Loop) {
        if let settling { loop.cancel(settling) }
        settling = loop.schedule(after: Self.settlingTime) { [weak self] in
            guard let self else { return }
            settling = nil
            onDisturbance(disturbance)
        }
    }

    public func close(on loop: isolated Loop) {
        for source in sources { source.close(on: loop) }
        sources = []
        if let settling { loop.cancel(settling) }
    }

    // MARK: The clock

    private static func clockDescriptor() throws(SystemError) -> FileDescriptor {
        let number = timerfd_create(CLOCK_REALTIME, CInt(TFD_NONBLOCK | TFD_CLOEXEC))
        guard number >= 0 else { throw SystemError("create a timerfd") }
        let descriptor = FileDescriptor(takingOwnership: number)
        arm(descriptor)
        return descriptor
    }

    /// At the end of time: it is not to expire, only to be cancelled.
    private static func arm(_ descriptor: FileDescriptor) {
        var expirations: UInt64 = 0
        // Takes the cancellation away (ECANCELED), so that the next one is an edge again.
        _ = read(descriptor.raw, &expirations, MemoryLayout<UInt64>.size)
        var setting = itimerspec()
        setting.it_value.tv_sec = Int(Int32.max) * 4
        timerfd_settime(descriptor.raw, CInt(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET), &setting, nil)
    }

    // MARK: Routes

    private static func routeDescriptor() throws(SystemError) -> FileDescriptor {
        let flags = CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let number = Glibc.socket(AF_NETLINK, flags, NETLINK_ROUTE)
        guard number >= 0 else { throw SystemError("watch the routes") }
        let descriptor = FileDescriptor(takingOwnership: number)
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        address.nl_groups = UInt32(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor.raw, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
            }
        }
        guard bound == 0 else { throw SystemError("watch the routes") }
        return descriptor
    }

    /// Whether there was anything. An overflow (ENOBUFS) is many changes.
    private static func drainRoutes(_ descriptor: FileDescriptor) -> Bool {
        var changed = false
        var buffer = [UInt8](repeating: 0, count: 8_192)
        while true {
            let count = recv(descriptor.raw, &buffer, buffer.count, 0)
            if count > 0 || (count < 0 && errno == ENOBUFS) {
                changed = true
                continue
            }
            return changed
        }
    }

    /// One watched descriptor.
    private final class Source: ReadinessHandler {
        private let descriptor: FileDescriptor
        private let onReady: () -> Void
        private var registration: Registration?

        init(_ descriptor: FileDescriptor, onReady: @escaping () -> Void) {
            self.descriptor = descriptor
            self.onReady = onReady
        }

        func register(on loop: isolated Loop) throws(SystemError) {
            registration = try loop.register(descriptor, self)
        }

        func isReady(_ readiness: Readiness, on loop: isolated Loop) {
            if readiness.contains(.readable) { onReady() }
        }

        func close(on loop: isolated Loop) {
            if let registration { loop.deregister(registration) }
            registration = nil
            descriptor.close()
        }
    }
}
