import CLinux
import Descriptors
import Failures
import Glibc

/// The terminal, taken over for a screen that is redrawn, and given back as it was. Belongs to the main thread.
final class Terminal {
    enum Wait: Equatable {
        case elapsed, redraw, quit
    }

    private static let watched: [CInt] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH]

    private let signals: FileDescriptor
    private let hasKeys = isatty(STDIN_FILENO) == 1
    private var settings = termios()
    private var isTaken = false

    /// Takes the terminal: the alternate screen, no cursor, no line wrap, keys without echo.
    ///
    /// Signals that would end or stop the program are read from a descriptor from here on, so that the terminal is never
    /// left as it is.
    init() throws(Failure) {
        var set = sigset_t()
        sigemptyset(&set)
        for number in Self.watched { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        let raw = signalfd(-1, &set, CInt(SFD_NONBLOCK) | CInt(SFD_CLOEXEC))
        guard raw >= 0 else {
            throw Failure(.internal, "cannot watch for signals", why: SystemError("signalfd").reason)
        }
        signals = FileDescriptor(takingOwnership: raw)
        take()
    }

    private func take() {
        isTaken = true
        if hasKeys, tcgetattr(STDIN_FILENO, &settings) == 0 {
            var quiet = settings
            quiet.c_lflag &= ~tcflag_t(ICANON | ECHO)
            tcsetattr(STDIN_FILENO, TCSANOW, &quiet)
        }
        write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l")
    }

    /// Gives the terminal back. Harmless the second time.
    func leave() {
        guard isTaken else { return }
        isTaken = false
        write("\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l")
        if hasKeys { tcsetattr(STDIN_FILENO, TCSANOW, &settings) }
    }

    deinit { leave() }

    var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Shows lines from the top; what stood below them goes. One write, so that nothing flickers.
    func draw(_ lines: [String]) {
        write("\u{1B}[H" + lines.map { ForeignText.screen($0) + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// Waits for the time, a key or a signal.
    func wait(_ length: Duration) -> Wait {
        let deadline = ContinuousClock.now + length
        while true {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { return .elapsed }
            var polled = [
                pollfd(fd: signals.raw, events: Int16(POLLIN), revents: 0),
                pollfd(fd: hasKeys ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: STDOUT_FILENO, events: 0, revents: 0),
            ]
            let ready = poll(&polled, 3, CInt(clamping: Int64(left / .milliseconds(1)) + 1))
            if ready < 0 && errno != EINTR { return .quit }
            if ready <= 0 { continue }
            if polled[2].revents != 0 { return .quit }
            if polled[1].revents != 0, keyMeansQuit() { return .quit }
            if polled[0].revents != 0, let outcome = nextSignal() { return outcome }
        }
    }

    private func keyMeansQuit() -> Bool {
        var keys = [UInt8](repeating: 0, count: 32)
        let count = read(STDIN_FILENO, &keys, keys.count)
        // q, or Ctrl-D; a terminal that is gone.
        return count <= 0 || keys[..<count].contains { $0 == UInt8(ascii: "q") || $0 == 4 }
    }

    private func nextSignal() -> Wait? {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        guard read(signals.raw, &information, size) == size else { return nil }
        switch CInt(information.ssi_signo) {
        case SIGWINCH: return .redraw
        case SIGTSTP:
            leave()
            kill(getpid(), SIGSTOP)
            take()
            return .redraw
        default: return .quit
        }
    }

    private func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}
