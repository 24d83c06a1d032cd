/// What is known by a key until a day after its last use. Pure: time is an argument.
///
/// The daemon lives for months. What it once saw, such as an endpoint, a host name or a profile, must not stay in its memory and in its
/// answers for good.
public struct Recent<Key: Hashable, Value> {
    /// How long a value is kept after its last use.
    public static var timeUnused: Duration { .seconds(86_400) }
    /// How often unused values are looked for.
    private static var pause: Duration { .seconds(600) }

    private var entries: [Key: (value: Value, lastUse: ContinuousClock.Instant)] = [:]
    private var nextSweep: ContinuousClock.Instant?
    /// Whether a value may go although nobody has used it for a day; nil: each may.
    private let mayGo: (@Sendable (Value) -> Bool)?

    /// - Parameter mayGo: says false of a value that something else still needs, which counts as a use.
    public init(mayGo: (@Sendable (Value) -> Bool)? = nil) { self.mayGo = mayGo }

    public var count: Int { entries.count }

    /// What is kept, in no order. Not a use.
    public var values: [Value] { entries.values.map(\.value) }
    public var keys: [Key] { Array(entries.keys) }

    /// The value, which is used by that.
    public mutating func use(_ key: Key, at now: ContinuousClock.Instant) -> Value? {
        forgetUnused(at: now)
        entries[key]?.lastUse = now
        return entries[key]?.value
    }

    /// The value. Not a use.
    public func peek(_ key: Key) -> Value? { entries[key]?.value }

    /// Keeps a value from now on; nil forgets the key.
    public mutating func set(_ value: Value?, for key: Key, at now: ContinuousClock.Instant) {
        forgetUnused(at: now)
        entries[key] = value.map { (value: $0, lastUse: now) }
    }

    /// Changes a value in place, and uses it.
    public mutating func update(
        _ key: Key, default value: @autoclosure () -> Value, at now: ContinuousClock.Instant,
        _ change: (inout Value) -> Void
    ) {
        forgetUnused(at: now)
        var entry = entries.removeValue(forKey: key) ?? (value: value(), lastUse: now)
        entry.lastUse = now
        change(&entry.value)
        entries[key] = entry
    }

    public mutating func removeAll() { entries.removeAll() }

    /// Forgets what was not used for a day; looks for that once in ten minutes, however often this is called.
    public mutating func forgetUnused(at now: ContinuousClock.Instant) {
        if let nextSweep, now < nextSweep { return }
        nextSweep = now + Self.pause
        for (key, entry) in entries where now - entry.lastUse >= Self.timeUnused {
            if mayGo?(entry.value) ?? true { entries[key] = nil } else { entries[key]?.lastUse = now }
        }
    }
}

extension Recent: Sendable where Key: Sendable, Value: Sendable {}
