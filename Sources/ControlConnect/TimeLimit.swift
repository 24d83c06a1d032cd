import Glibc

/// When to stop waiting. By the system's own clock: Swift's belong to its runtime for concurrency, which a program that starts for
/// each `ssh` does without.
package struct TimeLimit: Sendable {
    /// Of `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
    private let end: Duration

    package init(after length: Duration) { end = Self.now + length }

    private static var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// What poll(2) is told. Rounded up, so that the last wait does not spin through a fraction of a millisecond.
    var milliseconds: CInt {
        let left = end - Self.now
        guard left > .zero else { return 0 }
        let (seconds, attoseconds) = left.components
        return CInt(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}
