import Failures
import Logging

/// One entry of the journal as its fields (systemd.journal-fields(7)).
enum JournalEntry {
    /// What each of our own fields begins with: `forward` is `EICED_FORWARD`.
    private static let prefix = "EICED_"
    /// The journal's bound on a name.
    private static let longestName = 64

    static func fields(_ entry: LogEntry) -> [(name: String, value: String)] {
        // The message names its fields, too: `journalctl` shows nothing else unless it is asked.
        var fields = [
            (name: "MESSAGE", value: entry.line), (name: "PRIORITY", value: "\(priority(entry.level))"),
            (name: "SYSLOG_IDENTIFIER", value: "eiced"),
        ]
        if let kind = entry.kind, let id = LogKinds.ids[kind] { fields.append((name: "MESSAGE_ID", value: id)) }
        fields += entry.fields.compactMap { field in
            name(field.name).map { (name: $0, value: ForeignText.line(field.value)) }
        }
        return fields
    }

    /// As the journal takes it: a line a field. No value has a line end of its own, so none needs its length before it.
    static func bytes(_ entry: LogEntry) -> [UInt8] { fields(entry).flatMap { Array("\($0.name)=\($0.value)\n".utf8) } }

    /// syslog(3)'s numbers.
    static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// `request-id`, `request_id` and `requestID` are all `EICED_REQUEST_ID`. Nil for what has no letter or digit that a
    /// name may have.
    static func name(_ key: String) -> String? {
        var result = prefix
        var previousIsSmall = false
        for byte in key.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"):
                result.unicodeScalars.append(Unicode.Scalar(byte - 0x20))
                previousIsSmall = true
                continue
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                if previousIsSmall, byte >= UInt8(ascii: "A") { result += "_" }
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                result += "_"
            }
            previousIsSmall = false
        }
        guard result.utf8.dropFirst(prefix.utf8.count).contains(where: { $0 != UInt8(ascii: "_") }) else { return nil }
        return String(result.prefix(longestName))
    }
}
