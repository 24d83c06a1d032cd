import AWS
import Basics
import ControlProtocol
import Failures
import InstanceConnect
import SocketIO
import Transport
import Tunnels

/// A forward as the state file has it: all that it takes to make it anew. Every field that a forward gets later belongs
/// here too, and raises ``ForwardsFile/version``: an older daemon would lose it. A setting raises it by its row in the table.
@dynamicMemberLookup
struct SavedForward: Hashable, Sendable {
    /// The fields of a forward beside the settings of its tunnels.
    struct Place: Codable, Hashable, Sendable {
        var name: String
        var target: String
        var remotePort: UInt16
        var local: LocalAddress
        /// Absent: both loopback addresses.
        var bind: String?
        /// Absent: false.
        var allowRemote: Bool?
        /// Absent: the daemon's own environment. Since version 2.
        var environment: EnvironmentOverlay?
        /// Absent: none.
        var warm: Int?
    }

    private var place: Place
    /// Members of the same object. A setting that is absent is off, or has its default.
    var tunnel: TunnelOptions

    subscript<Value>(dynamicMember path: WritableKeyPath<Place, Value>) -> Value {
        get { place[keyPath: path] }
        set { place[keyPath: path] = newValue }
    }
}

extension SavedForward: Codable {
    init(from decoder: any Decoder) throws {
        place = try Place(from: decoder)
        tunnel = try TunnelOptions(settings: decoder)
    }

    func encode(to encoder: any Encoder) throws {
        try place.encode(to: encoder)
        try tunnel.encodeSettings(to: encoder)
    }
}

extension SavedForward {
    init(_ specification: ForwardSpecification) {
        let route = specification.route
        let local: LocalAddress =
            switch specification.local {
            case .port(let port): .port(port)
            case .path(let path): .path(path)
            }
        place = Place(
            name: specification.name, target: route.target.description, remotePort: route.remotePort, local: local,
            bind: specification.bindAddress, allowRemote: specification.allowsRemoteClients ? true : nil,
            environment: route.environment, warm: specification.warm > 0 ? specification.warm : nil)
        tunnel = specification.tunnel
        if tunnel.priority == TunnelOptions.standard.priority { tunnel.priority = nil }
    }

    /// What was saved, as a forward's own type.
    ///
    /// - Throws: what no daemon wrote, since it would have refused it.
    func specification() throws(Failure) -> ForwardSpecification {
        let name = place.name
        func check(_ condition: Bool, _ why: String) throws(Failure) {
            guard condition else { throw Failure(.malformedFile, "the forward \(String(reflecting: name))", why: why) }
        }
        try check(ForwardSpecification.isValidName(name), "no name for a forward")
        try check(place.remotePort > 0, "its remote port is 0")
        try check(tunnel.maxDuration != nil, "it has no max-duration")
        // Texts are not checked: a shell may name a profile or a region as it likes. A limit that is off is absent.
        for setting in TunnelSetting.all where setting.isLength {
            try check(
                setting.problem(of: tunnel, as: .malformedFile) == nil && setting[tunnel] != .seconds(0),
                "its \(setting.option) is out of range")
        }
        try check(place.warm.map(ForwardLimits.warmTunnels.contains) ?? true, "its warm tunnels are out of range")
        let names = (place.environment?.values.keys).map(Array.init) ?? []
        try check(
            names.allSatisfy { AWSVariable.named($0)?.treatment == .travels }, "its environment has foreign variables")
        let address = place.bind.map { SocketAddress(ip: $0, port: 0) }
        try check(address != .some(nil), "it listens on what is no IP address")
        try check(
            place.allowRemote == true || address??.isLoopback != false,
            "other hosts can reach it without its permission")
        var specification = ForwardSpecification(
            name: name, target: try Target(parsing: place.target), remotePort: place.remotePort,
            local: RequestTranslation.local(place.local), bindAddress: place.bind, tunnel: tunnel,
            environment: place.environment)
        specification.allowsRemoteClients = place.allowRemote ?? false
        specification.warm = place.warm ?? 0
        return specification
    }
}
