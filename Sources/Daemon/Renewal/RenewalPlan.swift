/// When what is known of things in use is renewed, ahead of its end, so that a dial finds it valid. Pure.
///
/// A thing that nobody has used for ten minutes is dropped; with none left there is nothing to wake up for.
struct RenewalPlan<Key: Hashable> {
    private struct Entry {
        var lastUse: ContinuousClock.Instant
        /// Nil while a renewal is under way.
        var next: ContinuousClock.Instant?
        var failures = 0
    }

    /// Of what is scheduled from now on.
    var times: RenewalTimes
    private var entries: [Key: Entry] = [:]

    init(_ times: RenewalTimes = RenewalTimes()) { self.times = times }

    /// The next instant at which something is due; nil at rest.
    var next: ContinuousClock.Instant? { entries.values.compactMap(\.next).min() }

    var isEmpty: Bool { entries.isEmpty }

    mutating func used(_ key: Key, at now: ContinuousClock.Instant) {
        guard entries[key] == nil else {
            entries[key]?.lastUse = now
            return
        }
        entries[key] = Entry(lastUse: now, next: now + times.interval)
    }

    /// What is to be renewed now. The caller tells of each how it ended.
    mutating func due(at now: ContinuousClock.Instant) -> [Key] {
        // After a sleep much of it may be out of use.
        entries = entries.filter { $0.value.next == nil || $0.value.lastUse + times.keptFor > now }
        let due = entries.filter { entry in entry.value.next.map { $0 <= now } ?? false }.map(\.key)
        for key in due { entries[key]?.next = nil }
        return due
    }

    /// - Parameter end: until when what was renewed lives, where that is known.
    mutating func renewed(_ key: Key, until end: ContinuousClock.Instant?, at now: ContinuousClock.Instant) {
        entries[key]?.failures = 0
        // An answer may come late and leave less than the lead.
        let next = end.map { max($0 - times.lead, now + times.lead) } ?? now + times.interval
        schedule(key, at: next)
    }

    mutating func failed(_ key: Key, at now: ContinuousClock.Instant) {
        guard let failures = entries[key]?.failures else { return }
        entries[key]?.failures = failures + 1
        schedule(key, at: now + min(times.firstPause * (1 << min(failures, 10)), times.keptFor))
    }

    private mutating func schedule(_ key: Key, at next: ContinuousClock.Instant) {
        guard let entry = entries[key] else { return }
        if next < entry.lastUse + times.keptFor {
            entries[key]?.next = next
        } else {
            entries[key] = nil
        }
    }
}

/// How soon and how long things in use are renewed.
struct RenewalTimes: Sendable {
    /// After the last use.
    var keptFor = Duration.seconds(600)
    /// How long before its end an answer is renewed.
    var lead = Duration.seconds(15)
    /// When a thing is first renewed after its first use, and again where no end is known: answers live for a minute.
    var interval = Duration.seconds(45)
    /// The pause after the first failure; the next ones double.
    var firstPause = Duration.seconds(10)
}

extension RenewalTimes {
    /// For answers that live this long: in the last quarter of their life.
    init(timeToLive: Duration) {
        self.init(lead: timeToLive / 4, interval: timeToLive * 3 / 4, firstPause: timeToLive / 6)
    }

    /// What lives shorter than this is renewed when a renewal looks at it.
    var margin: Duration { lead * 4 / 3 }
}
