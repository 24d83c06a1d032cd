import ControlProtocol
import Failures
import InstanceConnect
import Tunnels

extension RequestTranslation {
    /// What a forward is to be after a `forward.set`.
    func changed(
        _ old: ForwardSpecification, _ parameters: ForwardSetParameters
    ) throws(Failure) -> ForwardSpecification {
        try checkContradictions(parameters)
        let unset = Set(parameters.unset)
        let options = parameters.options
        var new = old
        if let name = parameters.name, name != old.name { new.name = try checkName(name) }
        if let local = parameters.local { new.local = try place(local) }
        if let bind = parameters.bind ?? (unset.contains(.bind) ? configuration.defaults.bind ?? "localhost" : nil) {
            new.bindAddress = try Self.bindAddress(bind)
        }
        new.allowsRemoteClients = try checkBind(
            new.bindAddress, allowRemote: parameters.allowRemote ?? old.allowsRemoteClients)
        new.isEphemeral = parameters.ephemeral ?? old.isEphemeral
        if let priority = options.priority { new.priority = priority == .interactive ? .interactive : .normal }
        if let count = parameters.warm { new.warm = try warm(count) }
        new.route = try changed(old.route, parameters, unset)
        let profile = new.route.profile
        if unset.contains(.maxDuration) { new.maxDuration = maxDuration(for: profile) }
        if options.maxDuration != nil { new.maxDuration = try maxDuration(options, profile) }
        if unset.contains(.idleTimeout) { new.idleTimeout = idleTimeout(for: profile) }
        if options.idleTimeout != nil { new.idleTimeout = try idleTimeout(options, profile) }
        return new
    }

    private func changed(
        _ old: RouteRequest, _ parameters: ForwardSetParameters, _ unset: Set<ForwardSetParameters.Setting>
    ) throws(Failure) -> RouteRequest {
        let options = parameters.options
        try Self.checkAccount(profile: options.profile, region: options.region)
        try Self.checkEndpoint(options)
        var new = old
        if let target = parameters.target { new.target = try Target(parsing: target) }
        if let port = parameters.remotePort { new.remotePort = try checkRemotePort(port) }
        new.profile = options.profile ?? (unset.contains(.profile) ? configuration.defaults.profile : old.profile)
        if let named = options.profile, let caller = options.environment, caller.variables != nil {
            // The profile of that name which this shell sees.
            new.environment = ShellEnvironment(caller, profile: named, own: environment).overlay
        }
        if unset.contains(.environment) { new.environment = nil }
        let standard = configuration.standard(for: new.profile)
        new.region = options.region ?? (unset.contains(.region) ? standard.region : old.region)
        // A name belongs to its endpoint, the one that was or that of the configuration.
        if let endpoint = options.endpoint { (new.endpointID, new.endpointDNSName) = (endpoint, nil) }
        if unset.contains(.endpoint) {
            (new.endpointID, new.endpointDNSName) = (standard.endpoint, standard.endpointDNSName)
        }
        if let name = options.endpointDNSName {
            guard new.endpointID != nil else {
                throw Failure(
                    .invalidRequest, "\(name) belongs to no endpoint", why: "the forward is not bound to one",
                    hint: "name the endpoint's id too")
            }
            new.endpointDNSName = name
        }
        return new
    }

    private func checkContradictions(_ parameters: ForwardSetParameters) throws(Failure) {
        for setting in parameters.unset {
            let isSet =
                switch setting {
                case .bind: parameters.bind != nil
                case .profile: parameters.options.profile != nil
                case .environment: false
                case .region: parameters.options.region != nil
                case .endpoint: parameters.options.endpoint != nil || parameters.options.endpointDNSName != nil
                case .maxDuration: parameters.options.maxDuration != nil
                case .idleTimeout: parameters.options.idleTimeout != nil
                }
            guard !isSet else {
                throw Failure(.invalidRequest, "\(setting.rawValue) cannot be both set and unset")
            }
        }
    }
}

extension ForwardSpecification {
    /// Whether an `add` that asks for `other` has what it wants in this forward. Any port will do where none is asked for.
    func fulfils(_ other: ForwardSpecification) -> Bool {
        var wanted = other
        if wanted.local == .port(0), case .port = local { wanted.local = local }
        return self == wanted
    }
}
