import ControlProtocol
import Failures
import TestSupport

// What the scenarios play on: an emulator, daemons beside it, and their control sockets.

extension EicedDaemon {
    /// Adds a forward to port 22 of `target`, and returns the port that it listens on.
    func forward(_ target: String, name: String, warm: Int? = nil) async throws -> UInt16 {
        let parameters = ForwardAddParameters(
            name: name, target: target, mappings: [Mapping(remotePort: 22)], warm: warm, ephemeral: true)
        return try await listeningPort(of: parameters)
    }

    private func listeningPort(of parameters: ForwardAddParameters) async throws -> UInt16 {
        let added = try await call(Methods.ForwardAdd.self, parameters)
        guard let text = added.forwards.first?.addresses.first?.split(separator: ":").last, let port = UInt16(text)
        else { throw TestFailure("the forward \(parameters.name ?? "-") listens on no port") }
        return port
    }

    /// Adds a forward to a port of the bench's own server, and returns the port that it listens on.
    ///
    /// - Parameter endpoint: of which there may be many, so that no slot is waited for.
    func forward(
        to server: WorkServer, _ remotePort: UInt16, name: String, endpoint: String = WorkServer.endpoint
    ) async throws -> UInt16 {
        let parameters = ForwardAddParameters(
            name: name, target: "10.0.0.5", mappings: [Mapping(remotePort: remotePort)],
            options: TunnelOptions(endpoint: endpoint, endpointDNSName: WorkServer.name(of: endpoint)), ephemeral: true)
        return try await listeningPort(of: parameters)
    }

    func status() async throws -> StatusResult { try await call(Methods.Status.self, NoParameters()) }

    func waitForTunnels(open count: Int) async throws {
        try await eventually("\(count) tunnels are open", within: .seconds(120)) {
            try await self.status().tunnels.count { $0.state == .open } == count
        }
    }

    /// Proportional set size in KiB, once it has not grown any more for a moment.
    func settledMemory() async throws -> Double {
        var last = Int.max
        for _ in 0..<50 {
            guard let now = process.facts.proportionalSetSize else { throw TestFailure("eiced has ended: \(log)") }
            if abs(now - last) <= 16 { return Double(now) }
            last = now
            try await letPass(.milliseconds(200))
        }
        return Double(last)
    }
}

/// A local connection through `port`, and how long it took from the connect to the target's first byte.
func connectToFirstByte(_ port: UInt16) throws -> (socket: LoopbackSocket, length: Duration) {
    let start = ContinuousClock.now
    let socket = try LoopbackSocket.connect(port: port)
    guard try !socket.read(upTo: 64).isEmpty else { throw TestFailure("the connection ended without a byte") }
    return (socket, start.duration(to: .now))
}
