/// One thing that is measured, by a name that the command line takes.
protocol Scenario: Sendable {
    static var name: String { get }
    /// One line for `--list`.
    static var summary: String { get }

    init()

    /// Measures. Progress goes to stderr by `settings.tell`.
    func run(_ settings: BenchSettings) async throws -> [ReportTable]
}

/// What the command line decided.
struct BenchSettings: Sendable {
    /// How often each thing is measured, interleaved with what it is compared with.
    var pairs: Int
    /// A folder for callgrind's profiles, where somebody wants them.
    var profiles: String?
    /// Says where a long run is.
    var tell: @Sendable (String) -> Void
}

/// All scenarios, in the order in which they run.
enum Scenarios {
    static let all: [any Scenario.Type] = [
        FirstByteScenario.self, ScaleScenario.self, PoolDecisionScenario.self, SharedEndpointScenario.self,
        RelayScenario.self, PingScenario.self, ConnectScenario.self, StartScenario.self, InstructionScenario.self,
        SignScenario.self,
    ]
}
