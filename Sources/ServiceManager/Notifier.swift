import CSystemd
import Failures
import Glibc
import SocketIO
import Synchronization

/// Tells the service manager how the daemon is (sd_notify(3)). Without one, that is without `NOTIFY_SOCKET`, each call
/// does nothing. May be used from any thread.
public final class Notifier: Sendable {
    /// Whether there is somebody to tell.
    public let hasListener: Bool
    private let isSilent = Atomic(false)

    /// The environment is read here: make it once, at the start.
    public init() { hasListener = getenv("NOTIFY_SOCKET") != nil }

    /// Started: the forwards listen and the control socket answers.
    public func ready(status: String) { send(.ready(status: status)) }

    /// The one line that `systemctl status` shows.
    public func status(_ text: String) { send(.status(text)) }

    /// The configuration is being read again; ``ready(status:)`` ends it.
    public func reloading() { send(.reloading(monotonicMicroseconds: Self.monotonicMicroseconds())) }

    /// Nothing new is taken any more.
    public func stopping(status: String) { send(.stopping(status: status)) }

    /// More time for a start, a reload or a stop that is not finished: as much as `time` from now on.
    public func extendTimeout(by time: Duration) { send(.extendTimeout(time)) }

    /// All loops answer. To be said at least once in half of ``watchdogInterval()``.
    public func watchdog() { send(.watchdog) }

    /// How often the service manager wants to hear ``watchdog()``; nil where it does not ask for it. The environment is
    /// read at each call: ask once, at the start.
    public static func watchdogInterval() -> Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0 else { return nil }
        return .microseconds(Int64(clamping: microseconds))
    }

    /// Keeps a duplicate of `descriptor` for the next start of the service (`FileDescriptorStoreMax=`), where it comes with
    /// the other ``AdoptedSockets``. Storing the same one again changes nothing.
    ///
    /// - Parameter name: at most 255 characters, none of them a colon; several descriptors may have one name.
    public func store(_ descriptor: FileDescriptor, as name: String) {
        send(.store(name: name), [descriptor.raw])
    }

    /// Forgets and closes what was kept by this name.
    public func removeStored(_ name: String) { send(.removeStored(name: name)) }

    /// The service's main process is another one from now on. It must be one of the service's cgroup.
    public func mainProcess(_ process: pid_t) { send(.mainProcess(process)) }

    /// Says nothing more: another process speaks for the service.
    public func silence() { isSilent.store(true, ordering: .relaxed) }

    private func send(_ notification: Notification, _ descriptors: [CInt] = []) {
        guard hasListener, !isSilent.load(ordering: .relaxed) else { return }
        // A service manager that cannot be reached finds out by its own timeouts; there is nobody else to tell.
        if descriptors.isEmpty {
            _ = sd_notify(0, notification.text)
        } else {
            _ = sd_pid_notify_with_fds(0, 0, notification.text, descriptors, CUnsignedInt(descriptors.count))
        }
    }

    private static func monotonicMicroseconds() -> UInt64 {
        var now = timespec()
        // Cannot fail for a clock that every kernel has.
        _ = clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1_000
    }
}

/// What is sent: assignments, one a line (sd_notify(3)).
enum Notification: Sendable, Hashable {
    case ready(status: String)
    case status(String)
    case reloading(monotonicMicroseconds: UInt64)
    case stopping(status: String)
    case extendTimeout(Duration)
    case watchdog
    case store(name: String)
    case removeStored(name: String)
    case mainProcess(pid_t)

    var text: String {
        switch self {
        case .ready(let status): "READY=1\n\(Self.statusLine(status))"
        case .status(let status): Self.statusLine(status)
        // The time tells this reload from an earlier one (systemd 253 and later ask for it).
        case .reloading(let time): "RELOADING=1\nMONOTONIC_USEC=\(time)"
        case .stopping(let status): "STOPPING=1\n\(Self.statusLine(status))"
        case .extendTimeout(let time):
            "EXTEND_TIMEOUT_USEC=\(max(0, time.components.seconds) * 1_000_000 + time.components.attoseconds / 1_000_000_000_000)"
        case .watchdog: "WATCHDOG=1"
        case .store(let name): "FDSTORE=1\nFDNAME=\(ForeignText.line(name))"
        case .removeStored(let name): "FDSTOREREMOVE=1\nFDNAME=\(ForeignText.line(name))"
        case .mainProcess(let process): "MAINPID=\(process)"
        }
    }

    /// A status is one line: what it names comes from users, and another line would be another assignment.
    private static func statusLine(_ status: String) -> String { "STATUS=\(ForeignText.line(status))" }
}
