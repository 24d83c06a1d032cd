import ControlProtocol
import Failures
import InstanceConnect
import Logging
import SocketIO
import Tunnels

/// What the daemon was told in its configuration file, checked and complete: what the file leaves out has its default
/// here. A value that the file's reader lets through is in range.
public struct Configuration: Sendable, Equatable {
    public var defaults = Defaults()
    /// By the name of an AWS profile: what differs from the defaults where that profile is named.
    public var profiles: [String: TunnelOptions] = [:]
    /// By endpoint id (`eice-…`). An endpoint that is not named has the defaults of ``Endpoint``.
    public var endpoints: [String: Endpoint] = [:]
    /// By forward name. What a forward leaves out stands here as `[defaults]` has it.
    public var forwards: [String: Forward] = [:]
    public var timeouts = Timeouts()
    public var pool = Pool()
    public var log = Log()

    public init() {}

    /// The settings of a tunnel that does not say otherwise, its profile apart.
    ///
    /// - Parameter profile: the AWS profile it uses, where one is named.
    public func standard(for profile: String?) -> TunnelOptions {
        var standard = profile.flatMap { profiles[$0] } ?? TunnelOptions()
        standard.fill(from: defaults.tunnel)
        standard.fill(from: .standard)
        standard.profile = nil
        return standard
    }

    /// The settings of one endpoint, named in the file or not.
    public func endpoint(_ id: String) -> Endpoint { endpoints[id] ?? Endpoint() }
}

extension Configuration {
    /// `[defaults]`: what a forward or a `proxy` has that does not say otherwise.
    public struct Defaults: Sendable, Equatable {
        public var tunnel = TunnelOptions()
        /// An IP address to listen on. Nil: both loopback addresses.
        public var bind: String?
        /// Users of this machine, by number, whom forwards serve beside the daemon's own.
        public var allowUsers: Set<UInt32>?
        /// Networks whose hosts may use forwards that other hosts can reach. Nil: all.
        public var allowNetworks: [Network]?

        public init() {}
    }

    /// `[endpoints."eice-…"]`
    public struct Endpoint: Sendable, Equatable {
        public var maxConnections = ServiceLimits.connectionsPerEndpoint

        public init() {}
    }

    /// `[forwards.NAME]`
    public struct Forward: Sendable, Equatable {
        /// What `Target(parsing:)` takes.
        public var target = ""
        public var remotePort: UInt16 = 0
        /// Port 0: a free one is chosen at each start.
        public var local = LocalAddress.port(0)
        /// Nil: both loopback addresses. Of no meaning for a Unix socket.
        public var bind: String?
        /// Whether other hosts may reach the listener.
        public var allowRemote = false
        /// Users of this machine, by number, whom it serves beside the daemon's own.
        public var allowUsers: Set<UInt32> = []
        /// Networks whose hosts may use it, where other hosts can reach it. Nil: all.
        public var allowNetworks: [Network]?
        /// Complete: with what the defaults and the profile have.
        public var tunnel = TunnelOptions.standard
        /// Warm tunnels to keep ready.
        public var warm = 0

        public init() {}
    }

    /// `[timeouts]`: how long each thing may take.
    public struct Timeouts: Sendable, Equatable {
        /// The parts of a tunnel's life.
        public var tunnel = TunnelTimeouts()
        /// The phases of a dial to an endpoint.
        public var dial = DialTimeouts()
        /// Open tunnels at a stop of the daemon.
        public var shutdownDrain = Duration.seconds(10)
        /// The same at a restart by the service manager, while new connections wait for the next process.
        public var restartDrain = Duration.seconds(10)
        /// A control session's first message.
        public var hello = Duration.seconds(10)

        public init() {}
    }

    /// `[pool]`
    public struct Pool: Sendable, Equatable {
        /// The most connections that wait for a slot of one endpoint.
        public var queueLength = GatewayPools.Limits().queueLength
        /// Connections kept ready for each endpoint in use; 0 for none.
        public var spares = SpareSettings().count
        /// How old a spare may become; less where the service closes it earlier.
        public var spareTimeToLive = SpareSettings().timeToLive
        /// How old a warm tunnel may become.
        public var warmTimeToLive = TunnelServices.standardWarmTimeToLive
        /// How long what EC2 says of targets and endpoints is believed.
        public var lookUpTimeToLive = Duration.seconds(60)

        public init() {}
    }

    /// `[log]`
    public struct Log: Sendable, Equatable {
        public var level = Logger.Level.info

        public init() {}
    }
}
