/// Whether a tunnel carries so much that it would keep its loop's thread busy. Pure.
///
/// It begins with little to carry, and becomes bulk within an instant, so that others feel it for an instant only; it stops being that
/// when there was a second of hardly anything, since each change costs a move to another loop.
struct Pace {
    struct Limits {
        /// Bulk: so many bytes of payload, both ways together…
        var bulkCount = 4 << 20
        /// …within this time. 80 MiB a second are less than an eighth of a core.
        var bulkWindow = Duration.milliseconds(50)
        /// No bulk any more: fewer than this…
        var calmCount = 8 << 20
        /// …within this time, or on average where it became longer, since nothing came that would have ended it.
        var calmWindow = Duration.seconds(1)
    }

    private let limits: Limits
    private(set) var isBulk = false
    private var since: ContinuousClock.Instant
    private var count = 0

    init(_ limits: Limits, at now: ContinuousClock.Instant) {
        self.limits = limits
        since = now
    }

    /// How many rounds of about 64 KiB each way the pump takes before others have their turn: bulk is with its like, for whom fewer
    /// changes are cheaper.
    var roundsPerTurn: Int { isBulk ? 16 : 1 }

    /// So many bytes of payload were carried in this turn.
    mutating func carried(_ bytes: Int, at now: ContinuousClock.Instant) {
        let length = since.duration(to: now)
        if isBulk {
            count += bytes
            guard length >= limits.calmWindow else { return }
            isBulk = Double(count) * (limits.calmWindow / length) >= Double(limits.calmCount)
            begin(at: now)
        } else {
            // What came after the window's end belongs to the next one.
            if length > limits.bulkWindow { begin(at: now) }
            count += bytes
            guard count >= limits.bulkCount else { return }
            isBulk = true
            begin(at: now)
        }
    }

    private mutating func begin(at now: ContinuousClock.Instant) {
        since = now
        count = 0
    }
}
