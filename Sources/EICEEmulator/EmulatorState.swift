import Glibc
import SocketIO
import Synchronization

/// What all connections share: the inventory, the endpoints' slots, the faults that wait, and the figures.
final class EmulatorState: Sendable {
    private struct Values: Sendable {
        var inventory: Inventory
        var targets: [SocketAddress: SocketAddress]
        var faults = FaultList()
        var tunnels: [String: Int] = [:]
        var peaks: [String: Int] = [:]
        var statistics = Statistics()
    }

    /// Figures for `GET /stats`. The totals only grow.
    struct Statistics: Hashable, Codable, Sendable {
        /// TCP connections to the endpoints' port.
        var connectionsOpen = 0
        var connectionsTotal = 0
        /// Connections whose TLS handshake is done.
        var handshakesTotal = 0
        var tunnelsOpen = 0
        var tunnelsTotal = 0
        /// Upgrades that were refused, for whatever reason, and among them those for want of a slot.
        var refused = 0
        var refusedFull = 0
        var faults = 0
        var targetsUnreachable = 0
        var apiRequests = 0
        var bytesFromClients = 0
        var bytesToClients = 0
        /// By endpoint: how many tunnels there are, and the most there were at once.
        var endpoints: [String: EndpointFigures] = [:]
    }

    struct EndpointFigures: Hashable, Codable, Sendable {
        var open: Int
        var peak: Int
        var limit: Int
    }

    private let values: Mutex<Values>
    private let defaultLimit: Int
    /// Seconds that the service's clock is ahead of this machine's.
    private let clockOffset: Int64

    /// - Parameter defaultLimit: the concurrent connections of an endpoint whose inventory entry does not say.
    init(inventory: Inventory, faults: [Fault], defaultLimit: Int, clockOffset: Int64 = 0) {
        var first = Values(inventory: inventory, targets: inventory.reachableTargets)
        for fault in faults { first.faults.add(fault) }
        values = Mutex(first)
        self.defaultLimit = defaultLimit
        self.clockOffset = clockOffset
    }

    /// The service's time, in seconds since 1970.
    var now: Int64 { Int64(time(nil)) + clockOffset }

    var inventory: Inventory { values.withLock { $0.inventory } }

    func replace(inventory: Inventory) {
        let targets = inventory.reachableTargets
        values.withLock {
            $0.inventory = inventory
            $0.targets = targets
        }
    }

    /// Where a port of a private address is on this host. Nil when nothing answers there.
    func socketAddress(ofTarget address: String, port: UInt16) -> SocketAddress? {
        guard let wanted = SocketAddress(ip: address, port: port) else { return nil }
        return values.withLock { $0.targets[wanted] }
    }

    // MARK: Faults

    var faults: [Fault] { values.withLock { $0.faults.faults } }

    func add(_ fault: Fault) { values.withLock { $0.faults.add(fault) } }

    func clearFaults() { values.withLock { $0.faults.clear() } }

    func takeFault(_ stage: Fault.Stage, endpoint: String? = nil) -> Fault? {
        values.withLock { values in
            let fault = values.faults.take(stage, endpoint: endpoint)
            if fault != nil { values.statistics.faults += 1 }
            return fault
        }
    }

    // MARK: Slots

    func limit(of endpoint: Endpoint) -> Int { endpoint.maxConnections ?? defaultLimit }

    /// Takes one of the endpoint's slots; false when none is free. Whoever got one gives it back once.
    func admit(to endpoint: Endpoint) -> Bool {
        let limit = limit(of: endpoint)
        return values.withLock { values in
            let open = values.tunnels[endpoint.id, default: 0]
            guard open < limit else {
                values.statistics.refusedFull += 1
                return false
            }
            values.tunnels[endpoint.id] = open + 1
            values.peaks[endpoint.id] = max(values.peaks[endpoint.id] ?? 0, open + 1)
            values.statistics.tunnelsOpen += 1
            values.statistics.tunnelsTotal += 1
            return true
        }
    }

    func giveBack(slotOf endpoint: String) {
        values.withLock { values in
            values.tunnels[endpoint, default: 1] -= 1
            values.statistics.tunnelsOpen -= 1
        }
    }

    // MARK: Figures

    func count(_ change: (inout Statistics) -> Void) { values.withLock { change(&$0.statistics) } }

    var statistics: Statistics {
        values.withLock { values in
            var statistics = values.statistics
            for endpoint in values.inventory.endpoints {
                statistics.endpoints[endpoint.id] = EndpointFigures(
                    open: values.tunnels[endpoint.id] ?? 0, peak: values.peaks[endpoint.id] ?? 0,
                    limit: endpoint.maxConnections ?? defaultLimit)
            }
            return statistics
        }
    }
}
