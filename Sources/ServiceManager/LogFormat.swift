import Failures
import Glibc
import Logging

/// How entries are written.
public enum LogFormat: String, Sendable, CaseIterable {
    /// `level: message key=value`, a line each.
    case text
    /// A JSON object a line: `time`, `level`, `message`, and the entry's own fields as strings.
    case json
}

/// One entry, before it is written.
struct LogEntry {
    let level: Logger.Level
    let message: String
    /// What belongs to it, without what is empty: `-` stands for "none" in the daemon's own words.
    let fields: [(name: String, value: String)]
    /// Its kind, where it has one.
    let kind: String?

    init(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata) {
        self.level = level
        self.message = message
        kind = metadata[LogKinds.key].map { "\($0)" }
        fields = metadata.filter { $0.key != LogKinds.key }
            .map { (name: $0.key, value: "\($0.value)") }
            .filter { $0.value != "-" }
            .sorted { $0.name < $1.name }
    }

    /// What a person reads, on one line.
    var line: String { LogText.line(message, fields) }

    func bytes(_ format: LogFormat) -> [UInt8] {
        switch format {
        case .text: Array("\(level.rawValue): \(line)\n".utf8)
        case .json: Array(json(at: Self.now()).utf8)
        }
    }

    // MARK: JSON

    /// - Parameter time: as RFC 3339 has it.
    func json(at time: String) -> String {
        var members = [("time", time), ("level", level.rawValue), ("message", message)]
        if let kind { members.append((LogKinds.key, kind)) }
        let taken = Set(members.map(\.0))
        for field in fields {
            members.append((taken.contains(field.name) ? "\(field.name)_" : field.name, field.value))
        }
        return "{"
            + members.map { "\(ForeignText.jsonString($0.0)):\(ForeignText.jsonString($0.1))" }.joined(separator: ",")
            + "}\n"
    }

    /// `2026-03-01T10:30:00.250Z`.
    private static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        var seconds = time.tv_sec
        gmtime_r(&seconds, &parts)
        func two(_ number: CInt) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let milliseconds = time.tv_nsec / 1_000_000
        let fraction = String(repeating: "0", count: 3 - String(milliseconds).count) + String(milliseconds)
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
            + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(fraction)Z"
    }
}
