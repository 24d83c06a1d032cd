/// How many spares an endpoint is worth keeping, and for how long. Pure.
///
/// How long the service keeps a connection that asks for nothing is not published, so it is learned from those that it
/// closes.
struct SparePolicy {
    /// Spares to keep while the endpoint is in use; 0 for none.
    private(set) var wanted: Int
    /// Older ones are replaced.
    private(set) var timeToLive: Duration
    /// No spares before this: the service does not keep them long enough to be of use.
    private(set) var pausedUntil: ContinuousClock.Instant?
    private var youngDeaths = 0

    /// After the last use.
    private static let keptFor = Duration.seconds(600)
    private static let young = Duration.seconds(5)
    private static let pause = Duration.seconds(3_600)

    init(wanted: Int, timeToLive: Duration) {
        self.wanted = wanted
        self.timeToLive = timeToLive
    }

    func target(lastUse: ContinuousClock.Instant, at now: ContinuousClock.Instant) -> Int {
        if let pausedUntil, now < pausedUntil { return 0 }
        return lastUse.duration(to: now) < Self.keptFor ? wanted : 0
    }

    /// Takes over what the configuration says now; how soon the service closes spares is learned anew.
    mutating func apply(wanted: Int, timeToLive: Duration) {
        self.wanted = wanted
        self.timeToLive = timeToLive
    }

    /// One was of use.
    mutating func used() { youngDeaths = 0 }

    /// The service closed one that nobody used.
    mutating func died(age: Duration, at now: ContinuousClock.Instant) {
        guard age >= Self.young else {
            youngDeaths += 1
            if youngDeaths == 2 {
                pausedUntil = now + Self.pause
                youngDeaths = 0
            }
            return
        }
        youngDeaths = 0
        timeToLive = min(timeToLive, age * 0.8)
    }
}
