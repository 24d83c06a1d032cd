import CSystemd
import Glibc
import Logging
import Synchronization

/// Writes log lines where the daemon's log belongs: to the journal, with fields, or as text to a descriptor.
///
/// A line is written at once, by the thread that logs: lines keep their order and are there after a crash. One system
/// call a line; text of several threads is not mixed.
struct ServiceLogHandler: LogHandler {
    enum Destination: Sendable {
        case journal
        case text(CInt)
    }

    let destination: Destination
    /// What the daemon's level is, for all loggers that have no level of their own.
    let threshold: LogThreshold
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private var ownLevel: Logger.Level?

    init(destination: Destination, threshold: LogThreshold) {
        self.destination = destination
        self.threshold = threshold
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? threshold.level }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        switch destination {
        case .journal:
            let fields = JournalEntry.fields(level: event.level, message: event.message.description, metadata: all)
            // A journal that does not take it: stderr is its stream, or what is left.
            if !Self.sendToJournal(fields) {
                Self.write(event.level, event.message.description, all, to: STDERR_FILENO)
            }
        case .text(let descriptor):
            Self.write(event.level, event.message.description, all, to: descriptor)
        }
    }

    private static func sendToJournal(_ fields: [String]) -> Bool {
        // All fields in one piece of memory, and a vector that points into it.
        let bytes = fields.flatMap(\.utf8)
        return bytes.withUnsafeBytes { memory in
            var vector: [iovec] = []
            var start = 0
            for field in fields {
                vector.append(
                    iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: memory.baseAddress)?.advanced(by: start),
                        iov_len: field.utf8.count))
                start += field.utf8.count
            }
            return sd_journal_sendv(vector, CInt(vector.count)) >= 0
        }
    }

    private static func write(
        _ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, to descriptor: CInt
    ) {
        let line = Array("\(level.rawValue): \(LogText.line(message, metadata))\n".utf8)
        line.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                if count < 0, errno == EINTR { continue }
                // A log that cannot be written must not stop the daemon.
                guard count > 0 else { return }
                written += count
            }
        }
    }
}

/// The level that all loggers share, so that a reload can change it.
final class LogThreshold: Sendable {
    private let index: Atomic<Int>

    init(_ level: Logger.Level) { index = Atomic(Self.index(of: level)) }

    var level: Logger.Level {
        get { Logger.Level.allCases[index.load(ordering: .relaxed)] }
        set { index.store(Self.index(of: newValue), ordering: .relaxed) }
    }

    private static func index(of level: Logger.Level) -> Int { Logger.Level.allCases.firstIndex(of: level) ?? 0 }
}
