/// Decides when to ping an endpoint that is silent, and when its silence means that it is gone. Pure.
///
/// No client is known to send pings to the service, so whether it answers them is not known either: silence counts against
/// an endpoint only once it has answered a ping, and after three pings without an answer nobody asks any more.
struct Liveness {
    enum Step: Equatable {
        /// Look again after this.
        case wait(Duration)
        /// Ping now, and look again after this.
        case ping(thenWait: Duration)
        /// The path is dead.
        case dead
        /// Nothing is to be learned by asking.
        case stop
    }

    /// Silence that is worth a ping.
    static let pingAfter = Duration.seconds(30)
    /// Silence after a ping that is enough. With `pingAfter`, and each look up to 5 s late since it shares its wake-up, that is
    /// within 60 s.
    static let answerWithin = Duration.seconds(20)
    /// How late a look may be.
    static let tolerance = Duration.seconds(5)
    /// The same for a probe after a sleep or a change of route.
    static let probeWithin = Duration.seconds(10)
    private static let mostUnanswered = 3

    /// Whether silence after a ping means anything.
    private(set) var answersPings: Bool
    private var unanswered = 0
    /// How long the last ping was waited for.
    private var waited = Duration.zero

    /// - Parameter answersPings: the endpoint is known to answer.
    init(answersPings: Bool) { self.answersPings = answersPings }

    /// The endpoint answered a ping.
    mutating func ponged() {
        answersPings = true
        unanswered = 0
    }

    /// It is time to look.
    ///
    /// - Parameter silence: how long nothing came from the endpoint.
    mutating func fired(silence: Duration) -> Step {
        guard silence >= Self.pingAfter || unanswered > 0 else { return .wait(Self.pingAfter - silence) }
        if unanswered > 0 {
            // Any byte since the ping is an answer.
            if silence < waited {
                unanswered = 0
                return .wait(Self.pingAfter - silence)
            }
            if answersPings { return .dead }
            if unanswered == Self.mostUnanswered { return .stop }
        }
        return ping(thenWait: Self.answerWithin)
    }

    /// The path may have died unnoticed: ask at once.
    mutating func probe() -> Step {
        if unanswered >= Self.mostUnanswered, !answersPings { return .stop }
        return ping(thenWait: Self.probeWithin)
    }

    private mutating func ping(thenWait length: Duration) -> Step {
        unanswered += 1
        waited = length
        return .ping(thenWait: length)
    }
}
