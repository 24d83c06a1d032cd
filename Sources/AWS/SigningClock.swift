import Logging
import Synchronization

/// The time that requests are signed with: the wall clock, corrected by what AWS's answers say where the machine's clock is
/// wrong. AWS refuses signed calls that are more than five minutes off, and presigned addresses that are older than their life.
public final class SigningClock: Sendable {
    /// Seconds that an answer's Date may differ from our time before that means anything: answers take time to come.
    public static let tolerance: Int64 = 30

    private let read: @Sendable () -> WallTime
    private let offset = Mutex<Int64>(0)

    public init(_ read: @escaping @Sendable () -> WallTime = { WallTime.now() }) { self.read = read }

    /// The corrected time.
    public func now() -> WallTime { read().advanced(by: correction) }

    /// Seconds that the machine's clock was found to be behind (positive) or ahead (negative).
    public var correction: Int64 { offset.withLock { $0 } }

    /// Takes the service's time over where ours is off. Returns whether it was: of many whose signatures are refused at the
    /// same time one learns, and the others sign again with what it learned.
    @discardableResult
    public func learn(serverTime: WallTime) -> Bool {
        let own = read()
        return offset.withLock { offset in
            let difference = serverTime.secondsSinceEpoch - own.advanced(by: offset).secondsSinceEpoch
            guard abs(difference) > Self.tolerance else { return false }
            offset += difference
            return true
        }
    }

    /// The same, with a warning where the clock was off.
    func correct(by serverTime: WallTime, _ logger: Logger) {
        guard learn(serverTime: serverTime) else { return }
        let seconds = correction
        logger.warning(
            "this machine's clock is \(abs(seconds)) s \(seconds > 0 ? "behind" : "ahead"): signing with AWS's time instead"
        )
    }
}
