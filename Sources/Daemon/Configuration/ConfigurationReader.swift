import Basics
import ControlProtocol
import Failures
import InstanceConnect
import SocketIO
import Transport
import Tunnels

/// Makes a ``Configuration`` of a TOML document. It goes on after a mistake, so that all of them are found.
struct ConfigurationReader {
    private(set) var configuration = Configuration()
    private(set) var problems: ConfigurationProblems
    private var listeners = ConfiguredListeners()

    /// The tables at the top of a file.
    static let tables = ["defaults", "profiles", "endpoints", "forwards", "timeouts", "pool", "log"]

    init(file: String) { problems = ConfigurationProblems(file: file) }

    mutating func read(_ document: TOMLNode) {
        guard document.type != "error" else {
            problems.add(ConfigurationPlace(document, key: ""), document.text ?? "this is no TOML")
            return
        }
        let entries = document.entries ?? []
        for entry in entries {
            guard let table = entry.value.entries else {
                notATable(entry, "")
                continue
            }
            switch entry.key {
            case "defaults": readDefaults(table)
            case "timeouts": readTimeouts(table)
            case "pool":
                table.read(ConfigurationKeys.pool, table: entry.key, into: &configuration.pool, problems: &problems)
            case "log":
                table.read(ConfigurationKeys.log, table: entry.key, into: &configuration.log, problems: &problems)
            case "profiles": for profile in table { readProfile(profile) }
            case "endpoints": for endpoint in table { readEndpoint(endpoint) }
            // After the rest: forwards take what they leave out from the defaults, wherever those stand.
            case "forwards": break
            default: notATable(entry, "")
            }
        }
        for entry in entries where entry.key == "forwards" {
            for forward in entry.value.entries ?? [] { readForward(forward) }
        }
    }

    /// A key where a table is expected, or a table that nobody knows.
    private mutating func notATable(_ entry: TOMLNode.Entry, _ table: String) {
        let place = ConfigurationPlace(entry, key: ConfigurationPlace.path(table, entry.key))
        if !table.isEmpty || Self.tables.contains(entry.key) {
            problems.add(place, "expected a table, found \(entry.value.found)")
            return
        }
        // A key that only forgot its table is a common mistake.
        let home = Self.homes.first { $0.keys.contains(entry.key) }
        if let nearest = NearestName.of(entry.key, among: Self.tables) {
            problems.add(place, "there is no such table; did you mean \(nearest)?")
        } else if entry.value.entries == nil, let home {
            problems.add(place, "expected inside the table [\(home.table)]")
        } else {
            problems.add(place, "there is no such table; expected one of \(Self.tables.joined(separator: ", "))")
        }
    }

    private static let homes: [(table: String, keys: [String])] = [
        ("defaults", ConfigurationKeys.defaults.map(\.name)), ("timeouts", ConfigurationKeys.timeouts.map(\.name)),
        ("pool", ConfigurationKeys.pool.map(\.name)), ("log", ConfigurationKeys.log.map(\.name)),
        ("forwards.NAME", ConfigurationKeys.forward.map(\.name)),
        ("endpoints.\"eice-…\"", ConfigurationKeys.endpoint.map(\.name)),
    ]

    private mutating func readDefaults(_ table: [TOMLNode.Entry]) {
        table.read(ConfigurationKeys.defaults, table: "defaults", into: &configuration.defaults, problems: &problems)
    }

    private mutating func readTimeouts(_ table: [TOMLNode.Entry]) {
        table.read(ConfigurationKeys.timeouts, table: "timeouts", into: &configuration.timeouts, problems: &problems)
        let (timeouts, dial) = (configuration.timeouts.tunnel, configuration.timeouts.dial)
        let phases = [
            "resolve": timeouts.resolve, "connect": dial.connect, "proxy": dial.proxy, "tls": dial.tls,
            "upgrade": dial.upgrade,
        ]
        for entry in table {
            guard let phase = phases[entry.key], phase > timeouts.dial else { continue }
            problems.warn(
                ConfigurationPlace(entry.value, key: "timeouts.\(entry.key)"),
                "longer than the whole dial may take (timeouts.dial, \(DurationText.format(timeouts.dial)))")
        }
    }

    private mutating func readProfile(_ entry: TOMLNode.Entry) {
        let key = ConfigurationPlace.path("profiles", entry.key)
        guard Identifier.isName(entry.key) else {
            problems.add(ConfigurationPlace(entry, key: key), "expected the name of an AWS profile")
            return
        }
        guard let table = entry.value.entries else { return notATable(entry, "profiles") }
        var profile = TunnelOptions()
        table.read(ConfigurationKeys.profile, table: key, into: &profile, problems: &problems)
        if profile.endpointDNSName != nil, profile.endpoint == nil,
            let value = table.first(where: { $0.key == "endpoint_dns" })?.value
        {
            problems.add(ConfigurationPlace(value, key: "\(key).endpoint_dns"), Self.nameWithoutID)
        }
        configuration.profiles[entry.key] = profile
    }

    private static let nameWithoutID = "expected the key endpoint beside it: the id is part of each request"

    private mutating func readEndpoint(_ entry: TOMLNode.Entry) {
        let key = ConfigurationPlace.path("endpoints", entry.key)
        guard Identifier.isEndpoint(entry.key) else {
            problems.add(
                ConfigurationPlace(entry, key: key), "expected the id of an EC2 Instance Connect Endpoint (eice-…)")
            return
        }
        guard let table = entry.value.entries else { return notATable(entry, "endpoints") }
        var endpoint = Configuration.Endpoint()
        table.read(ConfigurationKeys.endpoint, table: key, into: &endpoint, problems: &problems)
        configuration.endpoints[entry.key] = endpoint
        guard endpoint.maxConnections > ServiceLimits.connectionsPerEndpoint,
            let value = table.first(where: { $0.key == "max_connections" })?.value
        else { return }
        problems.warn(
            ConfigurationPlace(value, key: "\(key).max_connections"),
            "\(endpoint.maxConnections) is more than the \(ServiceLimits.connectionsPerEndpoint) connections that AWS "
                + "allows for one endpoint: the service refuses what is above")
    }

    private mutating func readForward(_ entry: TOMLNode.Entry) {
        let key = ConfigurationPlace.path("forwards", entry.key)
        let place = ConfigurationPlace(entry, key: key)
        guard ForwardSpecification.isAcceptableName(entry.key) else {
            problems.add(place, ForwardSpecification.nameRule)
            return
        }
        guard let table = entry.value.entries else { return notATable(entry, "forwards") }
        var draft = ForwardDraft()
        let mistakes = problems.count
        table.read(ConfigurationKeys.forward, table: key, into: &draft, problems: &problems)
        // A key that is there but wrong has its own message.
        for required in ["target", "remote_port"] where !table.contains(where: { $0.key == required }) {
            problems.add(place, "expected the key \(required)")
        }
        guard mistakes == problems.count else { return }
        let forward = completed(draft)
        check(forward, draft, table, place)
        configuration.forwards[entry.key] = forward
    }

    private func completed(_ draft: ForwardDraft) -> Configuration.Forward {
        let defaults = configuration.defaults
        var forward = Configuration.Forward()
        forward.target = draft.target ?? ""
        forward.remotePort = draft.remotePort ?? 0
        forward.local = draft.local ?? .port(0)
        if case .port = forward.local {
            let address = (draft.bind ?? defaults.bind).flatMap(ConfigurationText.bindAddress) ?? ""
            forward.bind = address.isEmpty ? nil : address
        }
        forward.allowRemote = draft.allowRemote
        forward.allowUsers = draft.allowUsers ?? defaults.allowUsers ?? []
        forward.allowNetworks = draft.allowNetworks ?? defaults.allowNetworks
        forward.tunnel = draft.tunnel
        forward.tunnel.profile = draft.tunnel.profile ?? defaults.tunnel.profile
        forward.tunnel.fill(from: configuration.standard(for: forward.tunnel.profile))
        forward.warm = draft.warm
        return forward
    }

    /// The rules that concern more than one key.
    private mutating func check(
        _ forward: Configuration.Forward, _ draft: ForwardDraft, _ table: [TOMLNode.Entry], _ whole: ConfigurationPlace
    ) {
        func place(_ name: String) -> ConfigurationPlace {
            table.first { $0.key == name }
                .map { ConfigurationPlace($0.value, key: ConfigurationPlace.path(whole.key, name)) } ?? whole
        }
        do {
            _ = try Target(parsing: forward.target)
        } catch {
            problems.add(place("target"), error.description)
        }
        if case .path = forward.local, draft.bind != nil {
            problems.add(place("bind"), "a Unix socket has no address to bind; remove bind, or make local a port")
        }
        if draft.tunnel.endpointDNSName != nil, draft.tunnel.endpoint == nil {
            problems.add(place("endpoint_dns"), Self.nameWithoutID)
        }
        if let bind = forward.bind, SocketAddress(ip: bind, port: 0)?.isLoopback == false {
            if forward.allowRemote {
                problems.warn(place("bind"), "listens on \(bind), where other hosts can reach it")
            } else {
                problems.add(
                    place("bind"),
                    "other hosts can reach \(bind); expected allow_remote = true if that is what you want")
            }
        }
        guard forward.local != .port(0) else { return }
        let own = ConfiguredListener.all(of: forward)
        if let other = own.compactMap({ listeners.other(excluding: $0) }).first {
            problems.add(place("local"), "\(other) listens there already")
        }
        for listener in own { listeners.add(listener, of: whole.key) }
    }
}

/// Who listens where, to find two forwards on one address without comparing each with all.
private struct ConfiguredListeners {
    private struct Port: Hashable {
        let family: SocketAddress.Family
        let port: UInt16

        init?(_ listener: ConfiguredListener) {
            guard let address = listener.address else { return nil }
            (family, port) = (address.family, address.port)
        }
    }

    private var exact: [ConfiguredListener: String] = [:]
    private var first: [Port: String] = [:]
    private var onAll: [Port: String] = [:]

    /// The forward that keeps this one from listening.
    func other(excluding listener: ConfiguredListener) -> String? {
        if let same = exact[listener] { return same }
        guard let port = Port(listener) else { return nil }
        return onAll[port] ?? (listener.address?.isAny == true ? first[port] : nil)
    }

    mutating func add(_ listener: ConfiguredListener, of forward: String) {
        if exact[listener] == nil { exact[listener] = forward }
        guard let port = Port(listener) else { return }
        if first[port] == nil { first[port] = forward }
        if listener.address?.isAny == true, onAll[port] == nil { onAll[port] = forward }
    }
}

/// One socket that a forward of the configuration listens on.
private struct ConfiguredListener: Hashable {
    var local: LocalAddress
    /// Nil for a Unix socket.
    var address: SocketAddress?

    static func all(of forward: Configuration.Forward) -> [ConfiguredListener] {
        guard case .port(let port) = forward.local else { return [ConfiguredListener(local: forward.local)] }
        let hosts = forward.bind.map { [$0] } ?? ["127.0.0.1", "::1"]
        return hosts.map { ConfiguredListener(local: forward.local, address: SocketAddress(ip: $0, port: port)) }
    }
}
