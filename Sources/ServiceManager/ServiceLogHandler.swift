import Glibc
import Logging
import Synchronization

/// Where the daemon's log belongs, and how it is written there. A call never waits, whatever the journal or a terminal does.
struct LogDestination: Sendable {
    private let outlet: LogOutlet
    private let write: @Sendable (LogEntry) -> [UInt8]

    /// The journal, with fields.
    static func journal(_ sink: JournalSink) -> LogDestination { LogDestination(sink, JournalEntry.bytes) }

    /// Lines on a descriptor.
    static func descriptor(_ descriptor: CInt, _ format: LogFormat) -> LogDestination {
        LogDestination(DescriptorSink(descriptor: descriptor)) { $0.bytes(format) }
    }

    private init(_ sink: any LogSink, _ write: @escaping @Sendable (LogEntry) -> [UInt8]) {
        self.write = write
        outlet = LogOutlet(sink) { count in
            write(LogEntry(.warning, "\(count) log entries were lost, since the log took none", ["event": "log-lost"]))
        }
    }

    func send(_ entry: LogEntry) { outlet.send(write(entry)) }

    var isIdle: Bool { outlet.isIdle }
}

/// swift-log's way to a ``LogDestination``.
struct ServiceLogHandler: LogHandler {
    let destination: LogDestination
    /// What the daemon's level is, for all loggers that have no level of their own.
    let threshold: LogThreshold
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private var ownLevel: Logger.Level?

    init(destination: LogDestination, threshold: LogThreshold) {
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
        destination.send(LogEntry(event.level, event.message.description, all))
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
