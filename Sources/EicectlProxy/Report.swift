import ControlProtocol
import Descriptors
import Failures
import Glibc

/// The answer goes to stdout, all else to stderr. Whatever it is, nothing in it moves the terminal's cursor: names, reasons and
/// failures come from elsewhere.
public enum Report {
    public static func answer(_ text: String) {
        guard !text.isEmpty else { return }
        write(ForeignText.screen(text.utf8.last == 0xA ? text : text + "\n"), to: STDOUT_FILENO)
    }

    /// An answer that is a file: paths in it have the bytes that the system has.
    public static func answer(file text: String) {
        guard !text.isEmpty else { return }
        write(ForeignText.screen(text).systemBytes, to: STDOUT_FILENO)
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

    /// The exit code of a program that has said all: 0, or 74 with a sentence when stdout could not take the answer.
    public static func flush() -> Int32 {
        guard let obstacle, let failure = unwritten(obstacle) else { return 0 }
        _ = TextOutput.write(lines(failure), to: STDERR_FILENO)
        return failure.kind.exitCode
    }

    /// Whether nothing more can be answered.
    public static var isOver: Bool { obstacle != nil || readerIsGone }

    /// The failure behind a write to stdout that failed; nil where only the reader is gone: `eicectl ls | head -1` is no failure.
    static func unwritten(_ error: SystemError) -> Failure? {
        guard error.code != EPIPE, error.code != ECONNRESET else { return nil }
        return Failure(.stateNotSaved, "cannot write to stdout", why: error.reason)
    }

    /// Whether stdout is a pipe or a socket that nobody reads.
    public static var readerIsGone: Bool {
        var polled = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        return poll(&polled, 1, 0) > 0 && polled.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0
    }

    /// What kept an answer from stdout. Only the main thread writes the answer.
    nonisolated(unsafe) private static var obstacle: SystemError?

    private static func write(_ text: String, to descriptor: CInt) { write(Array(text.utf8), to: descriptor) }

    private static func write(_ bytes: [UInt8], to descriptor: CInt) {
        guard let error = TextOutput.write(bytes, to: descriptor), descriptor == STDOUT_FILENO else { return }
        obstacle = obstacle ?? error
    }
}
