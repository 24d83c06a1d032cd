import AWS
import Basics
import ControlProtocol
import Failures
import InstanceConnect
import Transport
import Tunnels

// What the settings of a tunnel are in the daemon: each of them is read here, and given back, in one line.

extension RouteRequest {
    init(target: Target, remotePort: UInt16, tunnel: TunnelOptions, environment: EnvironmentOverlay?) {
        self.init(target: target, remotePort: remotePort, environment: environment)
        use(tunnel)
    }

    fileprivate mutating func use(_ tunnel: TunnelOptions) {
        profile = tunnel.profile
        region = tunnel.region
        endpointID = tunnel.endpoint
        endpointDNSName = tunnel.endpointDNSName
    }
}

extension ForwardSpecification {
    /// - Parameter tunnel: its settings, with all that has a default.
    init(
        name: String, target: Target, remotePort: UInt16, local: Local, bindAddress: String?, tunnel: TunnelOptions,
        environment: EnvironmentOverlay? = nil
    ) {
        let route = RouteRequest(
            target: target, remotePort: remotePort, tunnel: tunnel, environment: environment)
        self.init(
            name: name, route: route, local: local, bindAddress: bindAddress, maxDuration: tunnel.longest)
        self.tunnel = tunnel
    }

    /// The settings of its tunnels. A setting that is off is nil.
    var tunnel: TunnelOptions {
        get {
            TunnelOptions(
                profile: route.profile, region: route.region, endpoint: route.endpointID,
                endpointDNSName: route.endpointDNSName, maxDuration: Int(maxDuration.components.seconds),
                idleTimeout: idleTimeout.map { Int($0.components.seconds) },
                priority: priority == .interactive ? .interactive : .normal)
        }
        set {
            route.use(newValue)
            maxDuration = newValue.longest
            idleTimeout = newValue.quiet
            priority = newValue.priority == .interactive ? .interactive : .normal
        }
    }
}

extension TunnelRequest {
    /// - Parameter tunnel: its settings, with all that has a default.
    init(route: RouteRequest, peer: String, tunnel: TunnelOptions, waitsForTarget: Bool) {
        self.init(
            route: route, peer: peer, maxDuration: tunnel.longest, idleTimeout: tunnel.quiet,
            waitsForTarget: waitsForTarget)
        priority = tunnel.priority == .interactive ? .interactive : .normal
    }
}

extension TunnelOptions {
    fileprivate var longest: Duration {
        .seconds(maxDuration ?? ServiceLimits.tunnelSeconds.upperBound)
    }

    /// Nil for no limit.
    fileprivate var quiet: Duration? { idleTimeout.flatMap { $0 == 0 ? nil : .seconds($0) } }
}
