import Glibc
import Logging

private let threshold = LogThreshold(.info)

/// Makes all loggers of this process write to the journal, where stderr leads there, and else to stderr as
/// `level: message key=value`.
///
/// Metadata become the journal's fields: `forward`, `tunnel`, `target`, `endpoint`, `reason` and `request_id` are
/// `EICED_FORWARD` and so on, and any other key likewise. Once for a process, before the first logger is made.
public func bootstrapLogging(level: Logger.Level) {
    setLogLevel(level)
    let variable = getenv("JOURNAL_STREAM").map { String(cString: $0) }
    let isJournal = JournalStream.isConnected(descriptor: STDERR_FILENO, variable: variable)
    let handler = ServiceLogHandler(
        destination: isJournal ? .journal : .text(STDERR_FILENO), threshold: threshold)
    LoggingSystem.bootstrap { _ in handler }
}

/// Changes the level of all loggers that were not given one of their own. From any thread.
public func setLogLevel(_ level: Logger.Level) { threshold.level = level }
