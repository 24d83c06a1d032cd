import Glibc

/// An instant on the wall clock in UTC, in whole seconds: what signatures carry and credentials expire by. Formatted
/// by hand, since a signature must cost microseconds and full Foundation is not linked.
public struct WallTime: Sendable, Hashable, Comparable {
    /// Seconds since 1970-01-01T00:00:00Z, within the years 1 to 9999.
    public let secondsSinceEpoch: Int64

    /// Instants beyond the years that can be written are brought to the first or the last one: services can send any number.
    public init(secondsSinceEpoch: Int64) {
        self.secondsSinceEpoch = min(max(secondsSinceEpoch, -62_135_596_800), 253_402_300_799)
    }

    public static func now() -> WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(secondsSinceEpoch: Int64(time.tv_sec))
    }

    public static func < (a: WallTime, b: WallTime) -> Bool { a.secondsSinceEpoch < b.secondsSinceEpoch }

    public func advanced(by seconds: Int64) -> WallTime {
        let (sum, overflow) = secondsSinceEpoch.addingReportingOverflow(seconds)
        return WallTime(secondsSinceEpoch: overflow ? (seconds < 0 ? .min : .max) : sum)
    }

    /// `20260131T235959Z`, the form of `X-Amz-Date`.
    public var amzDate: String {
        let (year, month, day) = civilDate
        let seconds = secondsOfDay
        return Self.digits(year, 4) + Self.digits(month, 2) + Self.digits(day, 2) + "T"
            + Self.digits(seconds / 3_600, 2)
            + Self.digits(seconds / 60 % 60, 2) + Self.digits(seconds % 60, 2) + "Z"
    }

    /// `2026-01-31T23:59:59Z` (RFC 3339).
    public var rfc3339: String {
        let (year, month, day) = civilDate
        let seconds = secondsOfDay
        return Self.digits(year, 4) + "-" + Self.digits(month, 2) + "-" + Self.digits(day, 2) + "T"
            + Self.digits(seconds / 3_600, 2) + ":" + Self.digits(seconds / 60 % 60, 2) + ":"
            + Self.digits(seconds % 60, 2) + "Z"
    }

    /// Reads RFC 3339 as AWS writes it: `2026-01-31T23:59:59Z`, with a fraction (dropped), an offset such as
    /// `+02:00`, or `UTC` at the end (old SSO caches).
    public init?(rfc3339 text: String) {
        var reader = DateReader(text)
        guard let year = reader.number(4), reader.skip("-"), let month = reader.number(2), reader.skip("-"),
            let day = reader.number(2), reader.skip("T") || reader.skip(" "), let hour = reader.number(2),
            reader.skip(":"), let minute = reader.number(2), reader.skip(":"), let second = reader.number(2),
            let days = Self.days(year: year, month: month, day: day), hour < 24, minute < 60, second <= 60
        else { return nil }
        if reader.skip(".") { reader.skipDigits() }
        var offset = 0
        switch reader.rest {
        case "Z", "z", "UTC", "": break
        default:
            let east = reader.skip("+")
            guard east || reader.skip("-"), let hours = reader.number(2) else { return nil }
            _ = reader.skip(":")
            guard let minutes = reader.number(2), reader.rest.isEmpty else { return nil }
            offset = (east ? 1 : -1) * (hours * 3_600 + minutes * 60)
        }
        self.init(secondsSinceEpoch: Int64(days * 86_400 + hour * 3_600 + minute * 60 + second - offset))
    }

    /// Reads the value of an HTTP `Date` header (RFC 9110, section 5.6.7, IMF-fixdate):
    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    public init?(httpDate text: String) {
        let parts = text.split(separator: " ")
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard parts.count == 6, parts[5] == "GMT", let day = Int(parts[1]), let year = Int(parts[3]),
            let month = months.firstIndex(of: String(parts[2])),
            let days = Self.days(year: year, month: month + 1, day: day)
        else { return nil }
        let clock = parts[4].split(separator: ":").compactMap { Int($0) }
        guard clock.count == 3, 0..<24 ~= clock[0], 0..<60 ~= clock[1], 0...60 ~= clock[2] else { return nil }
        self.init(secondsSinceEpoch: Int64(days * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]))
    }

    private var secondsOfDay: Int { Int(secondsSinceEpoch - secondsSinceEpoch.flooredDivision(by: 86_400) * 86_400) }

    /// Year, month and day of the proleptic Gregorian calendar, counted in 400-year eras that begin on 1 March, so
    /// that the leap day comes last.
    private var civilDate: (Int, Int, Int) {
        let shifted = Int(secondsSinceEpoch.flooredDivision(by: 86_400)) + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private static func days(year: Int, month: Int, day: Int) -> Int? {
        guard 1...12 ~= month, 1...31 ~= day, 1...9_999 ~= year else { return nil }
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func digits(_ number: Int, _ count: Int) -> String {
        let text = String(number)
        return text.utf8.count >= count ? text : String(repeating: "0", count: count - text.utf8.count) + text
    }
}

extension WallTime: CustomStringConvertible {
    public var description: String { rfc3339 }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

/// Reads fixed-width dates from left to right.
private struct DateReader {
    var rest: Substring

    init(_ text: String) { rest = text[...] }

    mutating func number(_ count: Int) -> Int? {
        let digits = rest.prefix(count)
        guard digits.utf8.count == count, digits.utf8.allSatisfy({ 48...57 ~= $0 }) else { return nil }
        rest = rest.dropFirst(count)
        return Int(digits)
    }

    mutating func skip(_ character: Character) -> Bool {
        guard rest.first == character else { return false }
        rest = rest.dropFirst()
        return true
    }

    mutating func skipDigits() { rest = rest.drop { $0.isASCII && $0.isNumber } }
}
