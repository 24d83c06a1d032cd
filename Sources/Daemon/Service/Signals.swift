import CLinux
import Glibc
import SocketIO

/// The process's signals as events of a loop (signalfd(2)).
///
/// ``block()`` comes first of all in the process: threads that exist before it would still take the signals.
final class Signals: ReadinessHandler {
    /// What the service manager sends before it starts the next process, in place of SIGTERM (`RestartKillSignal=`).
    static let restart = SIGUSR1
    private static let watched: [CInt] = [SIGTERM, SIGINT, SIGHUP, restart]

    private let descriptor: FileDescriptor
    private let onSignal: (CInt) -> Void
    private var registration: Registration?

    /// Keeps the watched signals from ending the process. SIGPIPE and SIGXFSZ are ignored for good: a write to a closed
    /// socket, or to a file that has reached its limit, is an error like any other.
    static func block() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        var set = watchedSet()
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// - Parameter onSignal: on the loop, for each kind of signal that came; several of a kind may be one.
    init(on loop: isolated Loop, onSignal: @escaping (CInt) -> Void) throws(SystemError) {
        var set = Self.watchedSet()
        let number = signalfd(-1, &set, CInt(SFD_NONBLOCK | SFD_CLOEXEC))
        guard number >= 0 else { throw SystemError("watch for signals") }
        descriptor = FileDescriptor(takingOwnership: number)
        self.onSignal = onSignal
        registration = try loop.register(descriptor, self)
    }

    func isReady(_ readiness: Readiness, on loop: isolated Loop) {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        while read(descriptor.raw, &information, size) == size { onSignal(CInt(information.ssi_signo)) }
    }

    private static func watchedSet() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in watched { sigaddset(&set, number) }
        return set
    }
}
