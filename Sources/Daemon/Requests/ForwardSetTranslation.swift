import ControlProtocol
import Failures
import InstanceConnect
import Transport
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
        if let count = parameters.warm { new.warm = try warm(count) }
        if let target = parameters.target { new.route.target = try Target(parsing: target) }
        if let port = parameters.remotePort { new.route.remotePort = try checkRemotePort(port) }
        if let named = options.profile, let caller = options.environment, caller.variables != nil {
            // The profile of that name which this shell sees.
            new.route.environment = ShellEnvironment(caller, profile: named, own: environment).overlay
        }
        if unset.contains(.environment) { new.route.environment = nil }
        new.tunnel = try changed(old.tunnel, options, unset)
        return new
    }

    private func changed(
        _ old: TunnelOptions, _ options: TunnelOptions, _ unset: Set<ForwardSetParameters.Setting>
    ) throws(Failure) -> TunnelOptions {
        try options.check(as: .invalidRequest)
        var new = old
        let forgotten = TunnelSetting.all.filter { unset.map(\.rawValue).contains($0.name) }
        // The profile first: it decides what the others are without a value of their own.
        if forgotten.contains(where: { $0.name == "profile" }) { new.profile = configuration.defaults.tunnel.profile }
        new.profile = options.profile ?? new.profile
        var standard = configuration.standard(for: new.profile)
        standard.profile = new.profile
        for setting in forgotten { new.take(setting.name, from: standard) }
        for setting in TunnelSetting.all where setting.isSet(in: options) {
            if setting.owner == setting.name {
                // What belonged to the old value goes with it.
                new.take(setting.name, from: options)
            } else if let owner = TunnelSetting.all.first(where: { $0.name == setting.owner }), owner.isSet(in: new) {
                setting.copy(from: options, to: &new)
            } else {
                let value = setting[options].map(TunnelSetting.written) ?? ""
                throw Failure(
                    .invalidRequest, "\(value) belongs to no \(setting.owner)",
                    why: "the forward is not bound to one", hint: "name the \(setting.owner) too")
            }
        }
        return new
    }

    private func checkContradictions(_ parameters: ForwardSetParameters) throws(Failure) {
        for setting in parameters.unset {
            let isSet = setting == .bind ? parameters.bind != nil : parameters.options.hasAny(of: setting.rawValue)
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
