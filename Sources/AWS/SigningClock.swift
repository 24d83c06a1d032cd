import Synchronization

/// The time that requests are signed with: the wall clock, corrected by what AWS's answers say where the machine's clock is
/// wrong. AWS refuses signatures that are more than five minutes off.
public final class SigningClock: Sendable {
    private let read: @Sendable () -> WallTime
    private let offset = Atomic<Int64>(0)

    public init(_ read: @escaping @Sendable () -> WallTime = { WallTime.now() }) { self.read = read }

    /// The corrected time.
    public func now() -> WallTime { read().advanced(by: offset.load(ordering: .relaxed)) }

    /// Seconds that the machine's clock was found to be behind (positive) or ahead (negative).
    public var correction: Int64 { offset.load(ordering: .relaxed) }

    /// Takes the service's time over where it is more than `tolerance` seconds from ours. Returns whether it was.
    @discardableResult
    public func learn(serverTime: WallTime, tolerance: Int64 = 240) -> Bool {
        let difference = serverTime.secondsSinceEpoch - now().secondsSinceEpoch
        guard abs(difference) > tolerance else { return false }
        offset.wrappingAdd(difference, ordering: .relaxed)
        return true
    }
}
