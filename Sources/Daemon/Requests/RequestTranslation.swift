import AWS
import Basics
import ControlProtocol
import Failures
import InstanceConnect
import SocketIO
import Transport
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
            let (tunnel, environment) = try completed(parameters.options)
            var specification = ForwardSpecification(
                name: try name(parameters, mapping), target: try Target(parsing: parameters.target),
                remotePort: try checkRemotePort(mapping.remotePort), local: try place(mapping.local), bindAddress: bind,
                tunnel: tunnel, environment: environment)
            specification.allowsRemoteClients = allowsRemote
            specification.isEphemeral = parameters.ephemeral
            specification.warm = try warm(parameters.warm)
            result.append(specification)
        }
        return result
    }

    /// One forward of the configuration file.
    func forward(named name: String, _ forward: Configuration.Forward) throws(Failure) -> ForwardSpecification {
        let allowsRemote = try checkBind(forward.bind, allowRemote: forward.allowRemote)
        var specification = ForwardSpecification(
            name: name, target: try Target(parsing: forward.target), remotePort: forward.remotePort,
            local: try place(forward.local), bindAddress: forward.bind, tunnel: forward.tunnel)
        specification.allowsRemoteClients = allowsRemote
        specification.warm = forward.warm
        specification.access = AccessRules(users: forward.allowUsers, networks: forward.allowNetworks)
        specification.origin = ForwardSpecification.Origin.configuration
        return specification
    }

    /// The tunnel of a `connect`.
    func tunnel(_ parameters: ConnectParameters, peer: String) throws(Failure) -> TunnelRequest {
        let (standard, environment) = try completed(parameters.options)
        var tunnel = standard
        // A person waits for `proxy`, unless it says otherwise.
        tunnel.priority = parameters.options.priority ?? .interactive
        let route = RouteRequest(
            target: try Target(parsing: parameters.target), remotePort: try checkRemotePort(parameters.remotePort),
            tunnel: tunnel, environment: environment)
        return TunnelRequest(
            route: route, peer: peer, tunnel: tunnel,
            waitsForTarget: ServerPort.speaksFirst(parameters.remotePort))
    }

    func warm(_ count: Int?) throws(Failure) -> Int {
        try ForwardLimits.check(warm: count, as: .invalidRequest)
        return count ?? 0
    }

    /// The settings of a request, with what the caller's environment and the configuration say.
    private func completed(
        _ options: TunnelOptions
    ) throws(Failure) -> (tunnel: TunnelOptions, environment: EnvironmentOverlay?) {
        let account = try account(options)
        var tunnel = options
        (tunnel.profile, tunnel.region, tunnel.environment) = (account.profile, account.region, nil)
        tunnel.fill(from: configuration.standard(for: account.profile))
        return (tunnel, account.environment)
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
        try options.check(as: .invalidRequest)
        let caller = options.environment ?? CallerEnvironment()
        try EnvironmentGuard.check(callerKeyID: caller.accessKeyID, profile: options.profile, environment: environment)
        let shell = ShellEnvironment(caller, profile: options.profile, own: environment)
        let profile =
            options.profile ?? shell.profile ?? (shell.namesIdentity ? nil : configuration.defaults.tunnel.profile)
        let region =
            options.region ?? caller.region ?? caller.defaultRegion ?? configuration.standard(for: profile).region
        try Self.check(profile, "profile", longest: Identifier.longestName)
        try Self.check(region, "region", longest: Identifier.longestID)
        for (name, value) in (shell.overlay?.values ?? [:]).sorted(by: { $0.key < $1.key }) {
            try Self.check(value, name, longest: ConfigurationText.longestVariable)
        }
        return Account(profile: profile, region: region, environment: shell.overlay)
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
        try Self.check(bind, "address", longest: Identifier.longestID)
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
