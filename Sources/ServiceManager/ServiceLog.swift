import Failures
import Glibc
import Logging
import SocketIO
import Synchronization

private let threshold = LogThreshold(.info)
private let current = Mutex<LogDestination?>(nil)

/// Makes all loggers of this process write to the journal, where stderr leads there, and else to stderr.
///
/// Metadata become the journal's fields: `forward`, `tunnel`, `target`, `endpoint`, `reason` and `request_id` are
/// `EICED_FORWARD` and so on, and any other key likewise; `event` chooses the `MESSAGE_ID` (``LogKinds``). Once for a process,
/// before the first logger is made.
///
/// - Parameter format: nil for the journal's own where there is one, and text elsewhere.
public func bootstrapLogging(level: Logger.Level, format: LogFormat? = nil) {
    setLogLevel(level)
    var destination = LogDestination.descriptor(STDERR_FILENO, format ?? .text)
    if format == nil, stderrLeadsToTheJournal(), let sink = JournalSink() {
        destination = .journal(sink)
    }
    let chosen = destination
    current.withLock { $0 = chosen }
    let handler = ServiceLogHandler(destination: chosen, threshold: threshold)
    LoggingSystem.bootstrap { _ in handler }
}

private func stderrLeadsToTheJournal() -> Bool {
    JournalStream.isConnected(
        descriptor: STDERR_FILENO, variable: ProcessStart.variable("JOURNAL_STREAM"))
}

/// Writes a line to stderr, for what must be said where there is no logger yet. The journal takes its priority from it
/// (sd-daemon(3)).
public func sayWithoutLogger(_ line: String, _ level: Logger.Level) {
    let prefix = stderrLeadsToTheJournal() ? "<\(JournalEntry.priority(level))>" : ""
    let bytes = Array("\(prefix)\(ForeignText.line(line))\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

/// Waits until what was logged has been written, but no longer than a second: for the end of the process.
public func flushLog() {
    guard let destination = current.withLock({ $0 }) else { return }
    for _ in 0..<200 where !destination.isIdle { usleep(5_000) }
}

/// Changes the level of all loggers that were not given one of their own. From any thread.
public func setLogLevel(_ level: Logger.Level) { threshold.level = level }
