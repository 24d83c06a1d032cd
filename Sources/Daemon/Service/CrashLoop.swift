/// How long a daemon that keeps dying holds its listeners before it takes connections again. Pure.
///
/// systemd's own limit would give up and close the listeners, so it is off (`StartLimitIntervalSec=0`).
enum CrashLoop {
    /// Starts that came before count for as long as this.
    static let window = Duration.seconds(300)
    /// So many of them cost nothing: one crash must not be felt.
    static let free = 4
    static let shortest = Duration.milliseconds(500)
    static let longest = Duration.seconds(30)

    /// - Parameter ages: how long ago each process began that did not end as it should.
    static func hold(after ages: [Duration]) -> Duration {
        let recent = ages.count { $0 >= .zero && $0 < window }
        guard recent >= free else { return .zero }
        return min(shortest * (1 << min(recent - free, 10)), longest)
    }
}
