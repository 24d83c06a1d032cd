import SocketIO

/// How many connections the endpoint takes from us: its places are shared with colleagues whom we cannot see, so the only
/// way to know is to be refused. Pure; time and chance are arguments.
///
/// A refusal that means "full" lowers the cap to what is open, never below 1. It then rises by one step at a time: slowly
/// while steps are refused, at once as soon as one succeeds.
struct AdaptiveCap {
    /// Our own limit: the configured `max_connections`.
    private(set) var configured: Int
    /// What is used now.
    private(set) var effective: Int
    /// Since when the service has refused more than this; nil while it has not.
    private(set) var refusedSince: ContinuousClock.Instant?
    /// The next step up.
    private(set) var riseAt: ContinuousClock.Instant?
    /// Nobody dials before this, although there is a slot.
    private(set) var notBefore: ContinuousClock.Instant?

    private var riseInterval = Self.shortestRise
    private var probeInterval = Self.shortestProbe
    /// The most of ours that are known to fit: as many were open when the service last refused another one, or have been since.
    private var full: Int?
    /// Our latest closes: the service may still have counted each when it refused.
    private(set) var excuses: [ContinuousClock.Instant] = []
    private var nextCleaning = Self.cleaning

    private static let shortestRise = Duration.seconds(5)
    private static let longestRise = Duration.seconds(60)
    private static let shortestProbe = Duration.milliseconds(500)
    private static let longestProbe = Duration.seconds(15)
    /// A close of ours explains one refusal within this time.
    private static let excuseLifetime = Duration.seconds(5)
    private static let cleaning = 64
    private static let excusedPause = Duration.milliseconds(250)

    init(_ configured: Int) {
        precondition(configured >= 1)
        self.configured = configured
        effective = configured
    }

    mutating func configure(_ cap: Int) {
        precondition(cap >= 1)
        configured = cap
        effective = refusedSince == nil ? cap : min(effective, cap)
        if effective == cap { recovered() }
    }

    /// A connection of ours ended.
    mutating func closed(at now: ContinuousClock.Instant) {
        excuses.append(now)
        // Where nothing is ever refused, nothing else takes the old ones away.
        if excuses.count >= nextCleaning {
            dropExcuses(at: now)
            nextCleaning = max(Self.cleaning, excuses.count * 2)
        }
    }

    private mutating func dropExcuses(at now: ContinuousClock.Instant) {
        excuses.removeAll { $0.duration(to: now) > Self.excuseLifetime }
    }

    /// Forgets the closes that explain nothing any more, and gives back their room.
    mutating func giveBackRoom(at now: ContinuousClock.Instant) {
        dropExcuses(at: now)
        excuses.giveBackRoom()
    }

    /// A dial succeeded: there was room. For one more than it refused, if more are open now than then; a place of ours that is taken
    /// again says nothing of others.
    ///
    /// - Parameter open: our connections that are open now, this one included.
    mutating func accepted(open: Int, at now: ContinuousClock.Instant) {
        probeInterval = Self.shortestProbe
        notBefore = nil
        guard let full, open > full, effective < configured else { return }
        self.full = open
        riseInterval = Self.shortestRise
        riseAt = now
    }

    /// A dial was refused since the endpoint is full.
    ///
    /// - Parameters:
    ///   - open: our connections that the endpoint did accept and that have not ended.
    ///   - jitter: 0..<1, so that several daemons do not come back at the same moment.
    mutating func refused(open: Int, jitter: Double, at now: ContinuousClock.Instant) {
        dropExcuses(at: now)
        // Where as many are open as are known to fit, no close of ours is the reason.
        if !excuses.isEmpty, full.map({ open < $0 }) ?? true {
            excuses.removeFirst()
            notBefore = now + Self.excusedPause * (1 + jitter)
            return
        }
        full = open
        let lowered = min(effective, max(open, 1))
        refusedSince = refusedSince ?? now
        // Of many dials that are refused together only the first one is news: the others tell the same of the same step.
        if lowered < effective || riseAt == nil {
            riseAt = now + riseInterval * (1 + jitter / 2)
            riseInterval = min(riseInterval * 2, Self.longestRise)
        }
        effective = lowered
        if open == 0 {
            // Not one of ours is open, so no close of ours will tell when there is room: one waiter tries now and then.
            notBefore = now + probeInterval * (1 + jitter / 2)
            probeInterval = min(probeInterval * 2, Self.longestProbe)
        }
    }

    /// Time has passed.
    mutating func tick(at now: ContinuousClock.Instant) {
        if let instant = notBefore, instant <= now { notBefore = nil }
        guard let instant = riseAt, instant <= now else { return }
        effective = min(effective + 1, configured)
        riseAt = now + riseInterval
        if effective == configured { recovered() }
    }

    private mutating func recovered() {
        riseAt = nil
        full = nil
        refusedSince = nil
        riseInterval = Self.shortestRise
    }
}
