import AWS
import Basics
import InstanceConnect
import Transport

/// How long it takes to sign the address of a tunnel: the work that a dial to a known target does for AWS.
struct SignScenario: Scenario {
    static let name = "sign"
    static let summary = "time to sign the address of a tunnel"

    private static let rounds = 2_000

    func run(_ settings: BenchSettings) async throws -> [ReportTable] {
        let route = Route(
            target: try Target(parsing: "i-0be1c000000000001"), remotePort: 22, instanceID: "i-0be1c000000000001",
            address: "10.0.0.5", region: "eu-west-1", profile: nil,
            path: Path(
                through: Endpoint(id: WorkServer.endpoint, dnsName: WorkServer.name, nearness: .sameSubnet),
                region: "eu-west-1"))
        var table = ReportTable(
            "Signing a tunnel's address", columns: ["a signature"],
            notes: [
                "Medians of \(settings.pairs) times \(Self.rounds), each at another second, so that nothing is remembered."
            ])
        for (name, token) in [("with static keys", nil), ("with temporary ones", String(repeating: "t", count: 800))] {
            let credentials = Credentials(
                accessKeyID: "AKIDBENCH", secretAccessKey: String(repeating: "s", count: 40), sessionToken: token)
            var time = WallTime.now()
            let lengths = (0..<settings.pairs).map { _ in
                let start = ContinuousClock.now
                for _ in 0..<Self.rounds {
                    time = time.advanced(by: 1)
                    _ = OpenTunnelURL(route: route, maxDuration: 3_600, credentials: credentials, at: time)
                }
                return start.duration(to: .now) / Self.rounds
            }
            table.add(name, Samples(lengths, per: .microseconds(1)).figure(.microseconds).atMost(50))
        }
        return [table]
    }
}
