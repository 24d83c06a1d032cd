import TestSupport

/// A network of its own (network_namespaces(7)), where routes and addresses are nobody else's. Goes with this object.
final class PrivateNetwork: Sendable {
    private let holder: ChildProcess
    /// What runs a command in it.
    let inside: [String]

    /// Why this machine can give none; nil where it can.
    static let obstacle = Task { () throws -> String? in
        let trial = try await ChildProcess.run(
            "/usr/bin/unshare",
            ["--net", "--", "/usr/sbin/ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1"])
        return trial.code == 0 ? nil : trial.description
    }

    static var canBeMade: Bool {
        get async throws { try await obstacle.value == nil }
    }

    init() async throws {
        let holder = try ChildProcess(
            "/usr/bin/unshare", ["--net", "--", "/bin/sh", "-c", "ip link set lo up && echo up && exec sleep 600"],
            environment: ["PATH": "/usr/sbin:/usr/bin:/bin"], diesWithParent: true)
        try await eventually("there is a network") { holder.standardOutput.contains("up") }
        self.holder = holder
        inside = ["/usr/bin/nsenter", "--net=/proc/\(holder.pid)/ns/net", "--"]
    }

    /// Runs ip(8) in it.
    func ip(_ arguments: String...) async throws {
        let result = try await run("/usr/sbin/ip", arguments)
        guard result.code == 0 else { throw TestFailure(result.description) }
    }

    /// Runs a command in it to its end.
    func run(_ program: String, _ arguments: [String]) async throws -> CommandResult {
        try await ChildProcess.run(inside[0], inside.dropFirst() + [program] + arguments)
    }

    /// Starts a command in it.
    func start(_ program: String, _ arguments: [String]) throws -> ChildProcess {
        try ChildProcess(inside[0], inside.dropFirst() + [program] + arguments, diesWithParent: true)
    }

    /// Joins it to another one.
    func connect(_ address: String, to other: PrivateNetwork, _ otherAddress: String) async throws {
        try await ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", "\(other.holder.pid)")
        for (network, address) in [(self, address), (other, otherAddress)] {
            try await network.ip("address", "add", address, "dev", "wire")
            try await network.ip("link", "set", "wire", "up")
        }
    }
}
