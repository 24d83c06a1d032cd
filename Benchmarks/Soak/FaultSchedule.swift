import TestSupport

/// Which fault comes next. Pure: the kinds take turns, the rest is drawn.
struct FaultSchedule {
    /// What a fault strikes.
    enum Victim: Hashable, Sendable {
        /// Every connection to the endpoint that is open now.
        case open
        /// The next connection, in this part of its dial.
        case dial(FaultRelay.Phase)
    }

    struct Strike: Hashable, Sendable, CustomStringConvertible {
        var fault: FaultRelay.Fault
        var direction: FaultRelay.Direction
        var victim: Victim

        var description: String {
            switch victim {
            case .open: "\(fault.rawValue) (\(direction.rawValue)) of every open connection"
            case .dial(let phase): "\(fault.rawValue) (\(direction.rawValue)) of the next dial, in its \(phase)"
            }
        }
    }

    private var random: SeededGenerator
    private var count = 0

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func next() -> Strike {
        let kinds = Self.kinds
        let fault = kinds[count % kinds.count]
        // Open connections and dials take turns too; with an odd number of kinds each of them meets both.
        let victim: Victim = count.isMultiple(of: 2) ? .open : .dial(Self.phases.randomElement(using: &random) ?? .tls)
        count += 1
        return Strike(
            fault: fault, direction: FaultRelay.Direction.allCases.randomElement(using: &random) ?? .both,
            victim: victim)
    }

    /// Not the relay's own end, which would be that of all traffic.
    static let kinds = FaultRelay.Fault.allCases.filter { $0 != .gone }

    private static let phases: [FaultRelay.Phase] = [.tcp, .tls, .upgrade]
}
