import ControlProtocol
import Failures
import TestSupport

/// What a soak plays on: the emulator, an sshd, the target of all conversations, a relay that makes faults on the way to the
/// endpoint, and the daemon.
struct SoakStage: Sendable {
    let emulator: Emulator
    let relay: FaultRelay
    let daemon: EicedDaemon
    let target: SoakTarget
    let ssh: SSHServer
    /// Of the EC2 API.
    let apiPort: UInt16

    /// Seconds without a byte after which a tunnel ends: a path that has gone silent must be told of soon.
    static let idleTimeout = 5

    static func build() async throws -> SoakStage {
        let target = try SoakTarget()
        let ssh = try await SSHServer.start()
        let emulator = try await Emulator.start(inventory: Lane.inventory(target: target.port, ssh: ssh.port))
        let relay = try FaultRelay(to: try emulator.port(in: "EICED_CONNECT_TO"))
        var environment = emulator.environment
        environment["EICED_CONNECT_TO"] = "127.0.0.1:\(relay.port)"
        let configuration = """
            [timeouts]
            connect = "3s"
            tls = "3s"
            upgrade = "3s"
            dial = "8s"

            """
        let daemon = try await EicedDaemon.start(environment: environment, configuration: configuration)
        let stage = SoakStage(
            emulator: emulator, relay: relay, daemon: daemon, target: target, ssh: ssh,
            apiPort: try emulator.port(in: "AWS_ENDPOINT_URL_EC2"))
        for lane in Lane.all where lane.way == .path || lane.way == .port { try await stage.addForward(of: lane) }
        return stage
    }

    /// Where the sessions of a lane with a forward of its own connect to.
    func path(of lane: Lane) -> String { daemon.directory("\(lane.name).sock") }

    private func addForward(of lane: Lane) async throws {
        let local: LocalAddress? = lane.way == .path ? .path(path(of: lane)) : nil
        _ = try await daemon.call(
            Methods.ForwardAdd.self,
            ForwardAddParameters(
                name: lane.name, target: lane.instance, mappings: [Mapping(remotePort: lane.remotePort, local: local)],
                options: TunnelOptions(idleTimeout: Self.idleTimeout)))
    }

    func status() async throws -> StatusResult { try await daemon.call(Methods.Status.self, NoParameters()) }

    /// The ports of the forwards that have one, by their names.
    func ports() async throws -> [String: UInt16] {
        try await status().forwards.reduce(into: [:]) { ports, forward in
            ports[forward.name] = forward.addresses.first?.split(separator: ":").last.flatMap { UInt16($0) }
        }
    }
}
