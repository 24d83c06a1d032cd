/// How long to wait before the next try of something that another program stands in the way of: longer each time, up to a
/// minute. Pure.
struct RetryBackoff {
    static let shortest = Duration.seconds(1)
    static let longest = Duration.seconds(60)

    private var upcoming = RetryBackoff.shortest

    /// The wait before the next try.
    mutating func next() -> Duration {
        defer { upcoming = min(upcoming * 2, Self.longest) }
        return upcoming
    }

    mutating func reset() { upcoming = Self.shortest }
}
