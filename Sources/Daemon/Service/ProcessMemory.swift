import CLinux
import Glibc

/// The daemon's memory holds credentials and signed URLs.
enum ProcessMemory {
    /// Keeps it out of core files, of other processes of the same user, and of the log. Programs that the daemon starts are
    /// as usual again (execve(2) resets it).
    static func makePrivate() {
        // PR_SET_DUMPABLE with 0 cannot fail (prctl(2)).
        _ = clinux_forbid_dumps()
        // Where Swift's backtracer is installed, a crash would print registers and the memory they lead to; and the process would
        // outlive a SIGABRT, by which a service manager's watchdog ends one that hangs. Who asks for it gets it.
        guard getenv("SWIFT_BACKTRACE") == nil else { return }
        for fatal in [SIGQUIT, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP] { signal(fatal, SIG_DFL) }
    }
}
