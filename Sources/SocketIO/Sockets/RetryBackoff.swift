/// How long to wait before the next try of something that another program stands in the way of: twice as long each time, up
/// to a longest wait. Pure.
package struct RetryBackoff {
    private let shortest: Duration
    private let longest: Duration
    private var upcoming: Duration

    package init(from shortest: Duration = .seconds(1), upTo longest: Duration = .seconds(60)) {
        self.shortest = shortest
        self.longest = longest
        upcoming = shortest
    }

    /// Whether the next wait is the first one.
    package var isFresh: Bool { upcoming == shortest }

    /// The wait before the next try.
    package mutating func next() -> Duration {
        defer { upcoming = min(upcoming * 2, longest) }
        return upcoming
    }

    package mutating func reset() { upcoming = shortest }
}
