import AWS
import Failures
import InstanceConnect
import Logging
import SocketIO

/// What a forward is: a listener's place, a target, and how its tunnels are.
public struct ForwardSpecification: Hashable, Sendable {
    /// Where local clients connect.
    public enum Local: Hashable, Sendable {
        /// 0 lets the kernel choose.
        case port(UInt16)
        /// A Unix socket.
        case path(String)
    }

    /// Why it exists.
    public enum Origin: String, Hashable, Sendable {
        case request, configuration
    }

    public var name: String
    public var route: RouteRequest
    public var local: Local
    /// The IP address to listen on; nil for both loopback addresses.
    public var bindAddress: String?
    public var allowsRemoteClients = false
    public var maxDuration: Duration
    public var idleTimeout: Duration?
    public var isEphemeral = false
    public var origin = Origin.request

    public init(
        name: String, route: RouteRequest, local: Local, bindAddress: String? = nil, maxDuration: Duration,
        idleTimeout: Duration? = nil
    ) {
        self.name = name
        self.route = route
        self.local = local
        self.bindAddress = bindAddress
        self.maxDuration = maxDuration
        self.idleTimeout = idleTimeout
    }

    /// 1 to 64 letters, digits, dots, underscores and hyphens.
    public static func isValidName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

/// A listener joined to a target. Confined to the control loop.
public final class Forward {
    /// Replaced in place when the configuration changes all but where it listens; open tunnels keep what they began with.
    public var specification: ForwardSpecification
    /// Where it listens, one or two.
    public let addresses: [SocketAddress]
    /// What its last tunnel that failed failed with.
    public internal(set) var lastFailure: EndedTunnel?
    private var listeners: [Listener] = []
    private let binding: ListenerBinding
    private let tunnels: TunnelTable
    private let logger: Logger

    /// Listens from here on.
    init(
        _ specification: ForwardSpecification, binding: ListenerBinding, tunnels: TunnelTable, logger: Logger,
        on loop: isolated Loop
    ) throws(Failure) {
        self.specification = specification
        self.binding = binding
        self.tunnels = tunnels
        self.logger = logger
        addresses = binding.addresses
        for descriptor in binding.descriptors {
            do throws(SystemError) {
                let listener = try Listener(
                    adopting: descriptor, on: loop,
                    onTrouble: { [weak self] error, pause in self?.reportTrouble(error, pause) },
                    onAccept: { [weak self] connection in self?.accepted(connection, on: loop) })
                listeners.append(listener)
            } catch {
                close(on: loop)
                throw Failure(.cannotListen, "cannot listen for \(specification.name)", why: error.reason)
            }
        }
    }

    private func accepted(_ connection: FileDescriptor, on loop: isolated Loop) {
        let peer = SocketAddress.peer(of: connection)
        var request = TunnelRequest(
            route: specification.route, forward: specification.name, peer: Self.describe(peer, connection),
            maxDuration: specification.maxDuration, idleTimeout: specification.idleTimeout)
        request.identity = ClientIdentity(ofPeerOf: connection)
        tunnels.open(request, local: LocalStream(connection), client: nil, on: loop)
    }

    private static func describe(_ peer: SocketAddress?, _ connection: FileDescriptor) -> String {
        if let peer, peer.family != .unix { return peer.description }
        guard let credentials = try? PeerCredentials(of: connection) else { return "a local socket" }
        return "pid \(credentials.pid), uid \(credentials.uid)"
    }

    private func reportTrouble(_ error: SystemError, _ pause: Duration) {
        logger.warning(
            "cannot accept a connection: \(error.reason); next try in \(pause)",
            metadata: ["forward": "\(specification.name)"])
    }

    /// Stops listening. Open tunnels go on.
    func close(on loop: isolated Loop) {
        for listener in listeners { listener.close(on: loop) }
        listeners = []
        binding.close()
    }
}
