import Failures

/// Why a tunnel ended. Every tunnel has exactly one, in the log, in `status`, and for `proxy` on stderr.
public struct CloseReason: Hashable, Sendable, CustomStringConvertible {
    /// A stable word for scripts and counters.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The local client closed, and everything it sent went out.
        public static let localClosed = Self(rawValue: "local-closed")
        /// The local client reset its connection.
        public static let localReset = Self(rawValue: "local-reset")
        /// The local client was gone before the tunnel was open.
        public static let clientLeft = Self(rawValue: "client-left")
        /// The target closed, and everything it sent was delivered.
        public static let remoteClosed = Self(rawValue: "remote-closed")
        /// After the local side's half-close the target stayed silent for the drain timeout.
        public static let drained = Self(rawValue: "drain-timeout")
        public static let idle = Self(rawValue: "idle-timeout")
        public static let maxDuration = Self(rawValue: "max-duration")
        /// `eicectl close`, `rm`, or the configuration.
        public static let requested = Self(rawValue: "requested")
        public static let shutdown = Self(rawValue: "shutdown")
        /// The daemon was restarted, and the tunnel did not end within the drain.
        public static let restart = Self(rawValue: "restart")
        /// A warm tunnel that nobody used in its time, or whose slot was needed.
        public static let unused = Self(rawValue: "unused")
        /// The client of a forward to port 22 spoke HTTP or TLS.
        public static let notSSH = Self(rawValue: "not-ssh")
        /// The client had sent nothing, and an interactive tunnel needed the slot.
        public static let silent = Self(rawValue: "silent")
        /// Something failed; the failure tells what.
        public static let failed = Self(rawValue: "failed")
    }

    public let code: Code
    /// One clause for a person: "max duration reached (1h)".
    public let sentence: String
    /// What failed, for ``Code/failed``.
    public let failure: Failure?
    /// What the client spoke, for ``Code/notSSH``.
    let webClient: WebClient?

    private init(_ code: Code, _ sentence: String, failure: Failure? = nil, webClient: WebClient? = nil) {
        self.webClient = webClient
        self.code = code
        self.sentence = sentence
        self.failure = failure
    }

    public static let localClosed = CloseReason(.localClosed, "closed by the client")
    public static let localReset = CloseReason(.localReset, "reset by the client")
    public static let clientLeft = CloseReason(.clientLeft, "client left")
    public static let remoteClosed = CloseReason(.remoteClosed, "closed by the target")
    public static let shutdown = CloseReason(.shutdown, "shutdown")
    public static let restart = CloseReason(.restart, "restart")
    public static let unused = CloseReason(.unused, "warm and not used")
    public static let noRoom = CloseReason(.unused, "to be warm, and no slot was idle")
    public static let evicted = CloseReason(.unused, "warm, and its slot was needed")

    public static let silent = CloseReason(.silent, "its client sent nothing, and its slot was needed")

    static func notSSH(_ client: WebClient) -> CloseReason {
        CloseReason(.notSSH, "its client speaks \(client.rawValue), not SSH", webClient: client)
    }

    public static func drained(after timeout: Duration) -> CloseReason {
        CloseReason(.drained, "the target was silent for \(DurationText.format(timeout)) after the client's half-close")
    }

    public static func idle(for timeout: Duration) -> CloseReason {
        CloseReason(.idle, "idle for \(DurationText.format(timeout))")
    }

    public static func maxDuration(_ limit: Duration) -> CloseReason {
        CloseReason(.maxDuration, "max duration reached (\(DurationText.format(limit)))")
    }

    /// The reason of an orderly close by the endpoint. The endpoint counts a tunnel's life too, and may end it a moment before
    /// we do.
    ///
    /// - Parameter left: the rest of the tunnel's life; nil before the life began.
    static func orderlyClose(left: Duration?, of life: Duration) -> CloseReason {
        guard let left, left < min(life / 10, .seconds(1)) else { return .remoteClosed }
        return .maxDuration(life)
    }

    public static func requested(_ sentence: String) -> CloseReason { CloseReason(.requested, sentence) }

    public static func failed(_ failure: Failure) -> CloseReason {
        CloseReason(.failed, failure.sentence, failure: failure)
    }

    /// Whether the stream ended as its two sides wanted. Where not, a local TCP client gets a reset, so that it does
    /// not take a cut stream for a whole one.
    public var isOrderly: Bool { [.localClosed, .remoteClosed, .clientLeft, .drained, .unused].contains(code) }

    public var description: String { sentence }
}
