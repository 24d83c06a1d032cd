import Basics
import Glibc
import Logging
import Synchronization

/// The time that requests are signed with: the wall clock, corrected by what AWS's answers say where the machine's clock is
/// wrong. AWS refuses signed calls that are more than five minutes off, and presigned addresses that are older than their life.
///
/// Each party's `Date` corrects the signatures for that party alone, and by no more than a clock can plausibly be off (decision 23).
/// An endpoint is believed only as far as AWS's API, where it was asked, agrees.
public final class SigningClock: Sendable {
    /// Who refuses signatures and says what time it is.
    public enum Party: Sendable, Hashable, CustomStringConvertible {
        /// A service of AWS's API, by its host.
        case service(String)
        /// An Instance Connect Endpoint, by its DNS name.
        case endpoint(String)

        public var description: String {
            switch self {
            case .service(let host), .endpoint(let host): host
            }
        }
    }

    /// What became of a `Date`.
    public enum Lesson: Sendable, Hashable {
        /// Signatures for this party carry its time from now on.
        case learned
        /// They do already: sign again.
        case known
        /// Too far off to be believed.
        case implausible
        /// An endpoint's, and AWS's API says otherwise.
        case contradicted
    }

    /// Seconds that an answer's Date may differ from our time before that means anything: answers take time to come.
    public static let tolerance: Int64 = 30
    /// Seconds that a machine's clock may be off and be corrected: a week. Another system's time zone (dual boot) makes it hours,
    /// a wrong date days; what is off by more is not believed anywhere, since certificates would not be valid either.
    public static let plausible: Int64 = 7 * 86_400
    /// Seconds by which an endpoint may differ from the API: the window in which the API takes a signature, and some for the way.
    static let agreement: Int64 = 360

    private struct Note {
        /// Seconds that the machine's clock is behind (positive) or ahead (negative).
        var offset: Int64
        /// How the machine's clock was set: a note of another setting means nothing any more.
        var setting: Int64
    }

    private struct State {
        var notes: [Party: Note] = [:]
        /// The correction that was warned of last.
        var warned: Int64?
    }

    private let read: @Sendable () -> WallTime
    private let setting: @Sendable () -> Int64
    private let state = Mutex(State())

    /// - Parameters:
    ///   - read: the machine's clock.
    ///   - setting: a number of seconds that changes by as much as the clock when somebody sets it.
    public init(
        _ read: @escaping @Sendable () -> WallTime, setting: @escaping @Sendable () -> Int64 = { 0 }
    ) {
        self.read = read
        self.setting = setting
    }

    public convenience init() {
        self.init(
            { WallTime.now() },
            setting: {
                var time = timespec()
                clock_gettime(CLOCK_BOOTTIME, &time)
                return WallTime.now().secondsSinceEpoch - Int64(time.tv_sec)
            })
    }

    /// The time by which credentials are judged: the machine's, corrected as far as AWS's API has corrected it.
    public func now() -> WallTime { read().advanced(by: correction) }

    /// The time that a signature for this party carries.
    public func now(for party: Party) -> WallTime {
        let setting = self.setting()
        return read().advanced(by: state.withLock { Self.offset(for: party, $0, setting) })
    }

    /// Seconds that AWS's API found the machine's clock to be behind (positive) or ahead (negative).
    public var correction: Int64 {
        let setting = self.setting()
        return state.withLock { Self.general($0, setting) ?? 0 }
    }

    /// A service took a signature: without a correction the machine's clock is right enough for it.
    public func confirm(_ party: Party) {
        let setting = self.setting()
        state.withLock { state in
            guard Self.own(party, state, setting) == nil else { return }
            state.notes[party] = Note(offset: 0, setting: setting)
        }
    }

    /// Takes a party's time over where ours is off. Of many whose signatures are refused at the same time one learns, and the others
    /// sign again with what it learned.
    @discardableResult
    public func learn(serverTime: WallTime, from party: Party) -> Lesson {
        let own = read()
        let setting = self.setting()
        // WallTime has no more than five digits of years, so this does not overflow.
        let offset = serverTime.secondsSinceEpoch - own.secondsSinceEpoch
        return state.withLock { state in
            if abs(offset - Self.offset(for: party, state, setting)) <= Self.tolerance { return .known }
            // Of the machine's clock itself: a few small lies are one large one.
            guard abs(offset) <= Self.plausible else { return .implausible }
            if case .endpoint = party, let general = Self.general(state, setting),
                abs(offset - general) > Self.agreement
            {
                return .contradicted
            }
            state.notes[party] = Note(offset: offset, setting: setting)
            return .learned
        }
    }

    /// The same, and says so in the log.
    func correct(by serverTime: WallTime, from party: Party, _ logger: Logger) -> Lesson {
        let lesson = learn(serverTime: serverTime, from: party)
        switch lesson {
        case .known: break
        case .learned: warn(from: party, logger)
        case .implausible:
            logger.warning(
                "ignored the time of \(party), \(serverTime): it is more than \(Self.plausible / 86_400) days from this machine's"
            )
        case .contradicted: logger.warning("ignored the time of \(party), \(serverTime): AWS's API says otherwise")
        }
        return lesson
    }

    /// Once for all parties that say the same.
    private func warn(from party: Party, _ logger: Logger) {
        let setting = self.setting()
        let seconds: Int64? = state.withLock { state in
            let offset = Self.offset(for: party, state, setting)
            if let warned = state.warned, abs(warned - offset) <= Self.tolerance { return nil }
            state.warned = offset
            return offset
        }
        guard let seconds else { return }
        logger.warning(
            "this machine's clock is \(abs(seconds)) s \(seconds > 0 ? "behind" : "ahead"): signing with AWS's time instead"
        )
    }

    // MARK: Notes

    private static func own(_ party: Party, _ state: State, _ setting: Int64) -> Int64? {
        guard let note = state.notes[party], abs(note.setting - setting) <= tolerance else { return nil }
        return note.offset
    }

    private static func offset(for party: Party, _ state: State, _ setting: Int64) -> Int64 {
        if let own = own(party, state, setting) { return own }
        // An endpoint without a word of its own has the time of the API that named it; a service has its own or none.
        if case .endpoint = party { return general(state, setting) ?? 0 }
        return 0
    }

    /// What the services of the API say together: the smallest correction, so that one that is wrong moves nothing where another one
    /// is content. Nil where none was asked.
    private static func general(_ state: State, _ setting: Int64) -> Int64? {
        state.notes.keys.compactMap { party -> Int64? in
            guard case .service = party else { return nil }
            return own(party, state, setting)
        }.min { abs($0) < abs($1) }
    }
}
