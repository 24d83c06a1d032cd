/// Wall-clock time as AWS writes it, over seconds since 1970, in UTC.
enum DateText {
    /// `20261122T130501Z`: the form of `X-Amz-Date`.
    static func basic(_ seconds: Int64) -> String {
        let (year, month, day, hour, minute, second) = fields(seconds)
        return "\(pad(year, 4))\(pad(month))\(pad(day))T\(pad(hour))\(pad(minute))\(pad(second))Z"
    }

    /// `Sun, 22 Nov 2026 13:05:01 GMT`: the `Date` header (RFC 9110, section 5.6.7), from which a client learns how
    /// wrong its clock is.
    static func http(_ seconds: Int64) -> String {
        let (year, month, day, hour, minute, second) = fields(seconds)
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]  // 1 January 1970 was a Thursday
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let weekday = weekdays[Int((seconds.flooredDivision(by: 86_400) % 7 + 7) % 7)]
        let clock = "\(pad(hour)):\(pad(minute)):\(pad(second))"
        return "\(weekday), \(pad(day)) \(months[Int(month) - 1]) \(pad(year, 4)) \(clock) GMT"
    }

    /// Reads the form of `X-Amz-Date`; nil when it is not exactly that.
    static func parse(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 16, bytes[8] == UInt8(ascii: "T"), bytes[15] == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            var value: Int64 = 0
            for byte in bytes[range] {
                guard byte >= 48, byte <= 57 else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            return value
        }
        guard let year = number(0..<4), let month = number(4..<6), let day = number(6..<8),
            let hour = number(9..<11), let minute = number(11..<13), let second = number(13..<15),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
        else { return nil }
        let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
        // A day that its month does not have would come out as another date.
        return second == 60 || basic(seconds) == text ? seconds : nil
    }

    // Days and dates of the proleptic Gregorian calendar. A year is counted from March, so that the leap day ends it.

    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted.flooredDivision(by: 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func fields(
        _ seconds: Int64
    ) -> (year: Int64, month: Int64, day: Int64, hour: Int64, minute: Int64, second: Int64) {
        let shifted = seconds.flooredDivision(by: 86_400) + 719_468
        let ofDay = seconds - seconds.flooredDivision(by: 86_400) * 86_400
        let era = shifted.flooredDivision(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let index = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * index + 2) / 5 + 1
        let month = index < 10 ? index + 3 : index - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, day, ofDay / 3_600, ofDay / 60 % 60, ofDay % 60)
    }

    private static func pad(_ value: Int64, _ width: Int = 2) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
