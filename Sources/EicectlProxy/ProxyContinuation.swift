import ControlConnect

/// What is left to do of a `proxy` that did not go as it does all day, where the other program takes over: to read what the daemon
/// says, or to ask it how the tunnel ended.
public enum ProxyContinuation: Equatable, Sendable {
    /// - Parameter session: the descriptor of the session that waits for its tunnel.
    case replies(ConnectSession.Awaited, session: CInt)
    /// - Parameter answer: what the daemon said of the tunnel when it was opened.
    case ended(TunnelOutcome, answer: String)

    /// The hidden command of the other program. Before its arguments come ours, two words, and after them those of `proxy`.
    public static let command = "proxy-continued"

    private static let ending = "ended"

    public var words: [String] {
        switch self {
        case .replies(let awaited, let session): [awaited.rawValue, "\(session)"]
        case .ended(let outcome, let answer): ["\(Self.ending)-\(outcome.word)", answer]
        }
    }

    /// - Returns: nil for what is none.
    public init?(_ words: some Collection<String>) {
        let words = Array(words)
        guard words.count == 2 else { return nil }
        if let awaited = ConnectSession.Awaited(rawValue: words[0]), let session = CInt(words[1]), session >= 0 {
            self = .replies(awaited, session: session)
        } else if words[0].hasPrefix("\(Self.ending)-"),
            let outcome = TunnelOutcome(word: words[0].dropFirst(Self.ending.utf8.count + 1))
        {
            self = .ended(outcome, answer: words[1])
        } else {
            return nil
        }
    }
}

/// How a tunnel that was open ended, as far as its stream tells.
public enum TunnelOutcome: Equatable, Sendable {
    /// With an end of file.
    case ended
    /// With one before a byte came, on a port where the server speaks first.
    case silent
    /// With a failed system call.
    ///
    /// - Parameter code: its errno.
    case failed(CInt)

    fileprivate var word: String {
        switch self {
        case .ended: "normally"
        case .silent: "silent"
        case .failed(let code): "\(code)"
        }
    }

    fileprivate init?(word: some StringProtocol) {
        switch word {
        case "normally": self = .ended
        case "silent": self = .silent
        default:
            guard let code = CInt(word), code > 0 else { return nil }
            self = .failed(code)
        }
    }
}
