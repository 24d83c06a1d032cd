import AWS
import ControlProtocol
import Failures
import InstanceConnect
import SocketIO
import Tunnels

/// What a client asked for, as the daemon's own types: defaults filled in, values checked. Pure.
struct RequestTranslation {
    let configuration: Configuration
    /// The daemon's own.
    let environment: Environment

    /// The forwards of one `forward.add`.
    func forwards(_ parameters: ForwardAddParameters) throws(Failure) -> [ForwardSpecification] {
        guard !parameters.mappings.isEmpty else {
            throw Failure(.invalidRequest, "no remote port was given", hint: "eicectl add TARGET 22:2222")
        }
        let bind = try Self.bindAddress(parameters.bind ?? configuration.defaults.bind)
        let allowsRemote = try checkBind(bind, allowRemote: parameters.allowRemote)
        var result: [ForwardSpecification] = []
        for mapping in parameters.mappings {
            let route = try route(parameters.target, mapping.remotePort, parameters.options)
            var specification = ForwardSpecification(
                name: try name(parameters, mapping), route: route, local: try place(mapping.local), bindAddress: bind,
                maxDuration: try maxDuration(parameters.options, route.profile),
                idleTimeout: try idleTimeout(parameters.options, route.profile))
            specification.allowsRemoteClients = allowsRemote
            specification.isEphemeral = parameters.ephemeral
            specification.priority = parameters.options.priority == .interactive ? .interactive : .normal
            specification.warm = try warm(parameters.warm)
            result.append(specification)
        }
        return result
    }

    /// One forward of the configuration file.
    func forward(named name: String, _ forward: Configuration.Forward) throws(Failure) -> ForwardSpecification {
        let allowsRemote = try checkBind(forward.bind, allowRemote: forward.allowRemote)
        let route = RouteRequest(
            target: try Target(parsing: forward.target), remotePort: forward.remotePort,
            profile: forward.profile, region: forward.region, endpointID: forward.endpoint,
            endpointDNSName: forward.endpointDNSName)
        var specification = ForwardSpecification(
            name: name, route: route, local: try place(forward.local), bindAddress: forward.bind,
            maxDuration: forward.maxDuration, idleTimeout: forward.idleTimeout)
        specification.allowsRemoteClients = allowsRemote
        specification.priority = forward.priority == .interactive ? .interactive : .normal
        specification.warm = forward.warm
        specification.access = AccessRules(users: forward.allowUsers, networks: forward.allowNetworks)
        specification.origin = ForwardSpecification.Origin.configuration
        return specification
    }

    /// The tunnel of a `connect`.
    func tunnel(_ parameters: ConnectParameters, peer: String) throws(Failure) -> TunnelRequest {
        let route = try route(parameters.target, parameters.remotePort, parameters.options)
        var request = TunnelRequest(
            route: route, peer: peer, maxDuration: try maxDuration(parameters.options, route.profile),
            idleTimeout: try idleTimeout(parameters.options, route.profile),
            waitsForTarget: ServerPort.speaksFirst(parameters.remotePort))
        // A person waits for `proxy`, unless it says otherwise.
        request.priority = parameters.options.priority == .normal ? .normal : .interactive
        return request
    }

    /// More than a few would only take slots from colleagues.
    static let warmTunnels = 0...5

    func warm(_ count: Int?) throws(Failure) -> Int {
        guard let count else { return 0 }
        guard Self.warmTunnels.contains(count) else {
            throw Failure(
                .invalidRequest, "\(count) warm tunnels are out of range",
                why: "a forward keeps at most \(Self.warmTunnels.upperBound)")
        }
        return count
    }

    private func route(_ target: String, _ port: UInt16, _ options: TunnelOptions) throws(Failure) -> RouteRequest {
        let port = try checkRemotePort(port)
        let account = try account(options)
        let standard = configuration.standard(for: account.profile)
        try Self.checkEndpoint(options)
        // The name belongs to the id.
        let endpoint =
            options.endpoint == nil && options.endpointDNSName == nil
            ? (id: standard.endpoint, name: standard.endpointDNSName)
            : (id: options.endpoint, name: options.endpointDNSName)
        return RouteRequest(
            target: try Target(parsing: target), remotePort: port, profile: account.profile, region: account.region,
            environment: account.environment, endpointID: endpoint.id, endpointDNSName: endpoint.name)
    }

    /// Whose AWS account, and where.
    struct Account {
        var profile: String?
        var region: String?
        /// Nil where the daemon's environment counts as it is.
        var environment: EnvironmentOverlay?
    }

    /// Explicit options come first, then the caller's environment, then the configuration.
    /// - Throws: `.foreignCredentials` where the caller has keys that the daemon does not have.
    func account(_ options: TunnelOptions) throws(Failure) -> Account {
        let caller = options.environment ?? CallerEnvironment()
        try EnvironmentGuard.check(callerKeyID: caller.accessKeyID, profile: options.profile, environment: environment)
        let shell = ShellEnvironment(caller, profile: options.profile, own: environment)
        let profile =
            options.profile ?? shell.profile ?? (shell.namesIdentity ? nil : configuration.defaults.profile)
        let region =
            options.region ?? caller.region ?? caller.defaultRegion ?? configuration.standard(for: profile).region
        try Self.checkAccount(profile: profile, region: region)
        for (name, value) in (shell.overlay?.values ?? [:]).sorted(by: { $0.key < $1.key }) {
            try Self.check(value, name, longest: ConfigurationText.longestVariable)
        }
        return Account(profile: profile, region: region, environment: shell.overlay)
    }

    static func checkEndpoint(_ options: TunnelOptions) throws(Failure) {
        if let name = options.endpointDNSName, !ConfigurationText.isHostName(name) {
            throw Failure(
                .invalidRequest, "\"\(ForeignText.excerpt(name, limit: 60))\" is no endpoint's DNS name",
                hint: "it is like eice-….ec2-instance-connect-endpoint.eu-west-1.amazonaws.com")
        }
        try check(options.endpoint, "endpoint", longest: ConfigurationText.longestID)
        if let id = options.endpoint, !Endpoint.isID(id) { throw .noEndpointID(id) }
    }

    static func checkAccount(profile: String?, region: String?) throws(Failure) {
        try check(profile, "profile", longest: ConfigurationText.longestName)
        try check(region, "region", longest: ConfigurationText.longestID)
    }

    /// What is kept of a forward has a bound: it is in memory, in each status, and in a file that has one.
    ///
    /// - Parameter longest: bytes.
    private static func check(_ text: String?, _ name: String, longest: Int) throws(Failure) {
        guard let text, text.utf8.count > longest else { return }
        throw Failure(
            .invalidRequest, "invalid \(name) \"\(ForeignText.excerpt(text, limit: 40))\"",
            why: "it has \(text.utf8.count) bytes, and at most \(longest) are allowed")
    }

    func checkRemotePort(_ port: UInt16) throws(Failure) -> UInt16 {
        guard port > 0 else { throw Failure(.invalidRequest, "0 is no remote port", hint: "SSH is 22, RDP is 3389") }
        return port
    }

    func maxDuration(_ options: TunnelOptions, _ profile: String?) throws(Failure) -> Duration {
        guard let seconds = options.maxDuration else { return maxDuration(for: profile) }
        guard ServiceLimits.tunnelSeconds.contains(seconds) else {
            throw Failure(
                .invalidRequest, "the max duration of \(seconds) s is out of range",
                why: "a tunnel lives between 1 s and 1 h")
        }
        return .seconds(seconds)
    }

    /// What the configuration says where nobody else does.
    func maxDuration(for profile: String?) -> Duration {
        configuration.standard(for: profile).maxDuration ?? configuration.defaults.maxDuration
    }

    /// What the configuration says where nobody else does; nil for no limit.
    func idleTimeout(for profile: String?) -> Duration? {
        let standard = configuration.standard(for: profile).idleTimeout
        return standard == .zero ? nil : standard
    }

    func idleTimeout(_ options: TunnelOptions, _ profile: String?) throws(Failure) -> Duration? {
        guard let seconds = options.idleTimeout else { return idleTimeout(for: profile) }
        guard ServiceLimits.tunnelSeconds.contains(seconds) else {
            throw Failure(
                .invalidRequest, "the idle timeout of \(seconds) s is out of range", why: "it is between 1 s and 1 h")
        }
        return .seconds(seconds)
    }

    /// A given name names one forward, and is the beginning of the names of several.
    private func name(_ parameters: ForwardAddParameters, _ mapping: Mapping) throws(Failure) -> String {
        guard let name = parameters.name else {
            return ForwardNaming.name(target: parameters.target, port: mapping.remotePort)
        }
        return try checkName(parameters.mappings.count == 1 ? name : "\(name)-\(mapping.remotePort)")
    }

    /// Names that earlier releases accepted stay valid for the forwards that have them.
    func checkName(_ name: String) throws(Failure) -> String {
        guard ForwardSpecification.isAcceptableName(name) else {
            throw Failure(
                .invalidRequest, "invalid forward name \"\(ForeignText.excerpt(name, limit: 80))\"",
                why: ForwardSpecification.nameRule, hint: "--name web-1")
        }
        return name
    }

    static func local(_ address: LocalAddress?) -> ForwardSpecification.Local {
        switch address {
        case .port(let port): .port(port)
        case .path(let path): .path(path)
        case nil: .port(0)
        }
    }

    /// - Throws: when the service's sandbox would hide a socket there.
    func place(_ address: LocalAddress?) throws(Failure) -> ForwardSpecification.Local {
        if case .path(let path) = address { try Sandbox(environment)?.check(socket: path) }
        return Self.local(address)
    }

    /// Other hosts may come in only where that was asked for in so many words.
    func checkBind(_ bind: String?, allowRemote: Bool) throws(Failure) -> Bool {
        try Self.check(bind, "address", longest: ConfigurationText.longestID)
        guard let bind, !Self.isLoopback(bind) else { return false }
        guard allowRemote else {
            throw Failure(
                .usage, "\(bind) can be reached from other hosts",
                hint: "add --allow-remote if that is what you want")
        }
        return true
    }

    private static func isLoopback(_ address: String) -> Bool {
        SocketAddress(ip: address, port: 0)?.isLoopback ?? false
    }

    /// The address of a `bind`: as it is or in brackets, as in a URL. `localhost` is both loopback addresses, which is nil.
    static func bindAddress(_ text: String?) throws(Failure) -> String? {
        guard let text else { return nil }
        guard let address = ConfigurationText.bindAddress(text) else {
            throw Failure(
                .usage, "invalid address \"\(ForeignText.excerpt(text, limit: 60))\"",
                why: "expected an IP address or localhost", hint: "leave it out for 127.0.0.1 and ::1")
        }
        return address.isEmpty ? nil : address
    }
}
