import TestSupport

/// The kinds of traffic.
enum Traffic: String, CaseIterable, Sendable {
    case upload, download, duplex, pings
    case halfClose = "half-close"
    case short

    /// The next session of this kind.
    func conversation(_ random: inout SeededGenerator) -> Conversation {
        switch self {
        case .upload: Conversation(up: Int.random(in: 200_000..<6_000_000, using: &random), down: 0)
        case .download: Conversation(up: 0, down: Int.random(in: 200_000..<6_000_000, using: &random))
        case .duplex:
            Conversation(
                up: Int.random(in: 100_000..<3_000_000, using: &random),
                down: Int.random(in: 100_000..<3_000_000, using: &random), isDuplex: true)
        case .pings: Conversation(rounds: Int.random(in: 20..<400, using: &random), up: 64, down: 64)
        case .halfClose:
            Conversation(
                up: Int.random(in: 0..<1_500_000, using: &random), down: Int.random(in: 0..<1_500_000, using: &random),
                isDuplex: Bool.random(using: &random), halfCloses: true)
        case .short:
            Conversation(up: Int.random(in: 1..<2_000, using: &random), down: Int.random(in: 1..<2_000, using: &random))
        }
    }
}

/// How the sessions of a lane come to their target.
enum Way: String, CaseIterable, Sendable {
    /// By a forward's port.
    case port
    /// By a forward's Unix socket.
    case path
    /// By `eicectl proxy`, as a plain pipe.
    case proxy
    /// By a real ssh with `eicectl proxy` as its ProxyCommand, which hands the tunnel over.
    case ssh
}

/// One session after another of one kind, by one way, to an instance of its own, so that the daemon's records tell whose each
/// tunnel was.
struct Lane: Hashable, Sendable {
    let number: Int
    let way: Way
    let traffic: Traffic

    var name: String { "\(way.rawValue)-\(traffic.rawValue)" }
    var instance: String { "i-050a\(String(10_000_000_000_000 + number).dropFirst())" }
    var address: String { "10.0.1.\(number + 10)" }
    /// sshd speaks first, and the others' target does not: on port 22 the daemon waits for that.
    var remotePort: UInt16 { way == .ssh ? 22 : 3_389 }

    static let all: [Lane] = {
        let kinds: [(Way, [Traffic])] = [
            (.port, Traffic.allCases), (.path, [.duplex, .halfClose, .short]),
            (.proxy, [.upload, .download, .halfClose, .short]), (.ssh, [.duplex]),
        ]
        let pairs = kinds.flatMap { way, traffic in traffic.map { (way, $0) } }
        return pairs.enumerated().map { Lane(number: $0.offset, way: $0.element.0, traffic: $0.element.1) }
    }()

    /// The emulated account: a VPC with one endpoint, and an instance for each lane.
    static func inventory(target: UInt16, ssh: UInt16) -> String {
        let instances = all.map { #"{"id": "\#($0.instance)", "privateIp": "\#($0.address)"}"# }
        let targets = all.map {
            #""\#($0.address):\#($0.remotePort)": "127.0.0.1:\#($0.way == .ssh ? ssh : target)""#
        }
        return #"{"instances": [\#(instances.joined(separator: ", "))], "#
            + #""targets": {\#(targets.joined(separator: ", "))}}"#
    }
}
