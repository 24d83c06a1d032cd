/// How long a failing endpoint is passed over where another one can be used. Doubles with each failure in a row. Pure.
struct CoolDown {
    private var until: ContinuousClock.Instant?
    private var length = Self.shortest

    private static let shortest = Duration.seconds(5)
    private static let longest = Duration.seconds(60)

    func isOn(at now: ContinuousClock.Instant) -> Bool { until.map { now < $0 } ?? false }

    /// - Parameter jitter: 0..<1.
    mutating func begin(at now: ContinuousClock.Instant, jitter: Double) {
        until = now + length * (1 + jitter / 4)
        length = min(length * 2, Self.longest)
    }

    mutating func end() {
        until = nil
        length = Self.shortest
    }
}
