import ControlProtocol
import Failures
import Glibc

/// The answer goes to stdout, all else to stderr. Whatever it is, nothing in it moves the terminal's cursor: names, reasons and
/// failures come from elsewhere.
public enum Report {
    public static func answer(_ text: String) {
        guard !text.isEmpty else { return }
        write(ForeignText.screen(text.utf8.last == 0xA ? text : text + "\n"), to: STDOUT_FILENO)
    }

    public static func note(_ text: String) { write("eicectl: \(ForeignText.line(text))\n", to: STDERR_FILENO) }

    /// What somebody who waits for a tunnel is told meanwhile.
    public static func notice(_ notice: ConnectNotice) {
        let label = notice.kind == .zone ? "warning:" : "waiting:"
        write(prefixed(label, notice.text) + (notice.hint.map { prefixed("hint:", $0) } ?? ""), to: STDERR_FILENO)
    }

    /// The lines for a failure: what and why, then what to do.
    public static func lines(_ failure: Failure) -> String {
        prefixed("error:", failure.sentence) + (failure.hint.map { prefixed("hint:", $0) } ?? "")
    }

    /// A message may have several lines; each says whose it is, since ssh mixes ours with its own.
    private static func prefixed(_ label: String, _ text: String) -> String {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: true)
        return lines.enumerated().map { index, line in
            "eicectl: \(index == 0 ? label : String(repeating: " ", count: label.count)) "
                + "\(ForeignText.line(String(line)))\n"
        }.joined()
    }

    public static func fail(_ failure: Failure) -> Never {
        write(lines(failure), to: STDERR_FILENO)
        exit(failure.kind.exitCode)
    }

    /// The exit code of a program that has said all: 0, or 74 when stdout could not take it.
    public static func flush() -> Int32 { wasCutOff ? 74 : 0 }

    /// Whether nothing more can be answered.
    public static var isOver: Bool { wasCutOff || readerIsGone }

    /// Whether stdout is a pipe or a socket that nobody reads.
    public static var readerIsGone: Bool {
        var polled = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        return poll(&polled, 1, 0) > 0 && polled.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0
    }

    /// Only the main thread writes the answer.
    nonisolated(unsafe) private static var wasCutOff = false

    private static func write(_ text: String, to descriptor: CInt) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN {
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, -1)
                continue
            }
            guard count > 0 else {
                // `eicectl ls | head -1` is no failure; a full disk is.
                if descriptor == STDOUT_FILENO && errno != EPIPE { wasCutOff = true }
                return
            }
            bytes = bytes.dropFirst(count)
        }
    }
}
