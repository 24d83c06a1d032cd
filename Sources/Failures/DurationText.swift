/// Lengths of time as people write and read them: `90s`, `10m`, `1h30m`, `500ms`. The configuration, the command line
/// and all messages use this one form.
public enum DurationText {
    /// What to say was expected where ``parse(_:)`` returns nil.
    public static let expectation = "a length of time such as 90s, 10m, 1h30m or 500ms"

    /// The units, longest first, in milliseconds. A text names each at most once and in this order.
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1),
    ]
    /// Longer than any length that makes sense here, and short enough that no sum overflows.
    private static let maximumDigits = 9

    /// Reads a length of time; a number alone is one of seconds. Nil for anything else: no sign, no fraction, no blank.
    public static func parse(_ text: String) -> Duration? {
        var rest = text.utf8[...]
        var total: Int64 = 0
        var nextUnit = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            rest = rest[digits.endIndex...]
            let name = rest.prefix { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) }
            rest = rest[name.endIndex...]
            guard digits.count <= maximumDigits, let number = Int64(String(Substring(digits))) else { return nil }
            if name.isEmpty {
                guard nextUnit == 0, rest.isEmpty else { return nil }
                return .seconds(number)
            }
            guard let unit = units[nextUnit...].firstIndex(where: { $0.name == String(Substring(name)) }) else {
                return nil
            }
            total += number * units[unit].milliseconds
            nextUnit = unit + 1
        }
        return .milliseconds(total)
    }

    /// The shortest text that ``parse(_:)`` reads as the same length, to the millisecond: `1h30m`, `0s`. What is
    /// negative has a minus sign, which `parse` does not take.
    public static func format(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        guard seconds.magnitude < UInt64(Int64.max) / 1_000 - 1 else { return "\(seconds)s" }
        let total = seconds * 1_000 + attoseconds / 1_000_000_000_000_000
        var rest = total.magnitude
        var text = total < 0 ? "-" : ""
        for unit in units {
            let (number, remainder) = rest.quotientAndRemainder(dividingBy: UInt64(unit.milliseconds))
            if number > 0 { text += "\(number)\(unit.name)" }
            rest = remainder
        }
        return total == 0 ? "0s" : text
    }
}
