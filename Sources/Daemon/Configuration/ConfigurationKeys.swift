import Basics
import ControlProtocol
import Failures
import Logging
import SocketIO
import Transport

/// Every key that the configuration knows, table by table.
enum ConfigurationKeys {
    static let defaults: [ConfigurationSetting<Configuration.Defaults>] =
        tunnel(.defaults, \.tunnel) + [
            .text("bind", \.bind, "an IP address such as \"127.0.0.1\"", where: ConfigurationText.isBindAddress),
            .users("allow_users", \.allowUsers),
            .networks("allow_networks", \.allowNetworks),
        ]

    static let profile: [ConfigurationSetting<TunnelOptions>] = tunnel(.profiles, \.self)

    /// The settings of a tunnel that a table of the configuration has.
    private static func tunnel<Values>(
        _ place: TunnelSetting.Places, _ path: ConfigurationSetting<Values>.Path<TunnelOptions>
    ) -> [ConfigurationSetting<Values>] {
        TunnelSetting.all.filter { $0.places.contains(place) }.map { .tunnel($0, path, in: place) }
    }

    static let endpoint: [ConfigurationSetting<Configuration.Endpoint>] = [
        .integer("max_connections", \.maxConnections, 1...1_000)
    ]

    static let forward: [ConfigurationSetting<ForwardDraft>] =
        [
            .text(
                "target", \.target, "an instance id, a private address, a Name tag or a private DNS name",
                where: Identifier.isName),
            .remotePort,
            .local,
            .text("bind", \.bind, "an IP address such as \"127.0.0.1\"", where: ConfigurationText.isBindAddress),
            .boolean("allow_remote", \.allowRemote),
            .users("allow_users", \.allowUsers),
            .networks("allow_networks", \.allowNetworks),
        ] + tunnel(.forwards, \.tunnel) + [.integer("warm", \.warm, ForwardLimits.warmTunnels)]

    static let timeouts: [ConfigurationSetting<Configuration.Timeouts>] = [
        .duration("resolve", \.tunnel.resolve, phase),
        .duration("connect", \.dial.connect, phase),
        .duration("proxy", \.dial.proxy, phase),
        .duration("tls", \.dial.tls, phase),
        .duration("upgrade", \.dial.upgrade, phase),
        .duration("first_bytes", \.tunnel.firstBytes, phase),
        .duration("dial", \.tunnel.dial, phase),
        .duration("queue", \.tunnel.queue, drain),
        .duration("drain", \.tunnel.drain, drain),
        .duration("close", \.tunnel.close, .milliseconds(100) ... .seconds(60)),
        .duration("shutdown_drain", \.shutdownDrain, drain),
        .duration("restart_drain", \.restartDrain, drain),
        .duration("hello", \.hello, .milliseconds(100) ... .seconds(60)),
    ]

    static let pool: [ConfigurationSetting<Configuration.Pool>] = [
        .integer("queue_length", \.queueLength, 0...10_000),
        .integer("spares", \.spares, 0...5),
        .duration("spare_ttl", \.spareTimeToLive, .seconds(5) ... .seconds(600)),
        .duration("warm_ttl", \.warmTimeToLive, .seconds(5) ... .seconds(90)),
        .duration("lookup_ttl", \.lookUpTimeToLive, .seconds(1) ... .seconds(3_600)),
    ]

    static let log: [ConfigurationSetting<Configuration.Log>] = [.level]

    private static let phase: ClosedRange<Duration> = .milliseconds(100) ... .seconds(300)
    /// How long open tunnels may go on, or connections wait.
    static let drain: ClosedRange<Duration> = .zero ... .seconds(ServiceLimits.tunnelSeconds.upperBound)
}

/// A forward while it is read: what the file left out is nil.
struct ForwardDraft: Sendable {
    var target: String?
    var remotePort: UInt16?
    var local: LocalAddress?
    var bind: String?
    var allowRemote = false
    var allowUsers: Set<UInt32>?
    var allowNetworks: [Network]?
    var tunnel = TunnelOptions()
    var warm = 0
}

extension ConfigurationSetting<ForwardDraft> {
    fileprivate static let remotePort = Self(
        name: "remote_port", expected: "a port from 1 to 65535", standard: { _ in nil },
        read: { node, draft in
            guard let number = node.number, let port = UInt16(exactly: number), port > 0 else { return false }
            draft.remotePort = port
            return true
        })

    fileprivate static let local = Self(
        name: "local",
        expected: "a port from 0 (a free one is chosen) to 65535, or the absolute path of a Unix socket, at most "
            + "\(SocketAddress.longestUnixPath) bytes long",
        standard: { _ in "0" },
        read: { node, draft in
            if let number = node.number, let port = UInt16(exactly: number) {
                draft.local = .port(port)
                return true
            }
            guard let path = node.text, path.hasPrefix("/"), SocketAddress(unixPath: path) != nil else { return false }
            draft.local = .path(path)
            return true
        })
}

extension ConfigurationSetting<Configuration.Log> {
    fileprivate static let level = Self(
        name: "level",
        expected: "one of \(Logger.Level.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))",
        standard: { "\"\($0.level.rawValue)\"" },
        read: { node, log in
            guard let level = node.text.flatMap(Logger.Level.init(rawValue:)) else { return false }
            log.level = level
            return true
        },
        choices: Logger.Level.allCases.map(\.rawValue))
}

/// The texts of a configuration and of requests that are no settings of a tunnel.
enum ConfigurationText {
    /// Bytes of a variable of a request's shell: a path has at most 4,096 (PATH_MAX).
    static let longestVariable = 4_096

    @Sendable static func isBindAddress(_ text: String) -> Bool { bindAddress(text) != nil }

    /// The address of a `bind`: an IP address, also in brackets. Empty for `localhost`, which is both loopback addresses; nil for
    /// anything else.
    static func bindAddress(_ text: String) -> String? {
        if text.lowercased() == "localhost" { return "" }
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        let address = isBracketed ? String(text.dropFirst().dropLast()) : text
        guard let parsed = SocketAddress(ip: address, port: 0), !isBracketed || parsed.family == .ipv6 else {
            return nil
        }
        return address
    }
}
