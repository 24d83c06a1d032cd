import AWS
import ControlProtocol
import Failures
import InstanceConnect
import SocketIO
import Tunnels

/// A forward as the state file has it: all that it takes to make it anew. Every field that a forward gets later belongs
/// here too, and raises ``ForwardsFile/version``: an older daemon would lose it.
struct SavedForward: Codable, Hashable, Sendable {
    var name: String
    var target: String
    var remotePort: UInt16
    var local: LocalAddress
    /// Absent: both loopback addresses.
    var bind: String?
    /// Absent: false.
    var allowRemote: Bool?
    var profile: String?
    var region: String?
    /// Absent: the daemon's own environment. Since version 2.
    var environment: EnvironmentOverlay?
    var endpoint: String?
    var endpointDNSName: String?
    /// Seconds.
    var maxDuration: Int
    /// Seconds; absent: no limit.
    var idleTimeout: Int?
    /// Absent: normal.
    var priority: Priority?
    /// Absent: none.
    var warm: Int?
}

extension SavedForward {
    init(_ specification: ForwardSpecification) {
        let route = specification.route
        name = specification.name
        target = route.target.description
        remotePort = route.remotePort
        local =
            switch specification.local {
            case .port(let port): .port(port)
            case .path(let path): .path(path)
            }
        bind = specification.bindAddress
        allowRemote = specification.allowsRemoteClients ? true : nil
        profile = route.profile
        region = route.region
        environment = route.environment
        endpoint = route.endpointID
        endpointDNSName = route.endpointDNSName
        maxDuration = Int(specification.maxDuration.components.seconds)
        idleTimeout = specification.idleTimeout.map { Int($0.components.seconds) }
        priority = specification.priority == .interactive ? .interactive : nil
        warm = specification.warm > 0 ? specification.warm : nil
    }

    /// What was saved, as a forward's own type.
    ///
    /// - Throws: what no daemon wrote, since it would have refused it.
    func specification() throws(Failure) -> ForwardSpecification {
        func check(_ condition: Bool, _ why: String) throws(Failure) {
            guard condition else { throw Failure(.malformedFile, "the forward \(String(reflecting: name))", why: why) }
        }
        try check(ForwardSpecification.isValidName(name), "no name for a forward")
        try check(remotePort > 0, "its remote port is 0")
        try check(ServiceLimits.tunnelSeconds.contains(maxDuration), "its max duration is out of range")
        try check(
            idleTimeout.map { (1...86_400).contains($0) } ?? true, "its idle timeout is out of range")
        try check(warm.map { RequestTranslation.warmTunnels.contains($0) } ?? true, "its warm tunnels are out of range")
        let names = (environment?.values.keys).map(Array.init) ?? []
        try check(
            names.allSatisfy { AWSVariable.named($0)?.treatment == .travels }, "its environment has foreign variables")
        let address = bind.map { SocketAddress(ip: $0, port: 0) }
        try check(address != .some(nil), "it listens on what is no IP address")
        try check(
            allowRemote == true || address??.isLoopback != false, "other hosts can reach it without its permission")
        let route = RouteRequest(
            target: try Target(parsing: target), remotePort: remotePort, profile: profile, region: region,
            environment: environment, endpointID: endpoint, endpointDNSName: endpointDNSName)
        var specification = ForwardSpecification(
            name: name, route: route, local: RequestTranslation.local(local), bindAddress: bind,
            maxDuration: .seconds(maxDuration), idleTimeout: idleTimeout.map { .seconds($0) })
        specification.allowsRemoteClients = allowRemote ?? false
        specification.priority = priority == .interactive ? .interactive : .normal
        specification.warm = warm ?? 0
        return specification
    }
}
