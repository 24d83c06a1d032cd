/// Namespaces in which a test may change what else belongs to the whole machine, such as routes, mounts and the resolver. They
/// live as long as this object.
public final class PrivatePlace: Sendable {
    public enum Kind: String, Sendable {
        case network = "net"
        case mounts = "mount"
    }

    private let kinds: [Kind]
    private let holder: ChildProcess

    /// - Parameter setUp: a shell script that runs in it first.
    public init(_ kinds: Kind..., setUp: String) async throws {
        self.kinds = kinds
        let holder = try ChildProcess(
            "/usr/bin/unshare",
            kinds.map { "--\($0.rawValue)" } + ["--", "/bin/sh", "-ec", "\(setUp)\necho up; exec sleep 3600"],
            environment: Self.environment, diesWithParent: true)
        self.holder = holder
        try await eventually("a place of its own is there") {
            if holder.exit != nil { throw TestFailure("no place: \(holder.standardError)") }
            return holder.standardOutput.contains("up")
        }
    }

    private static let environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]

    /// What starts a program inside.
    public var wrapper: [String] {
        ["/usr/bin/nsenter"] + kinds.map { "--\($0.rawValue)=/proc/\(holder.pid)/ns/\($0 == .mounts ? "mnt" : "net")" }
            + ["--"]
    }

    /// A path of the inside, as it is seen from here.
    public func callAsFunction(_ path: String) -> String { "/proc/\(holder.pid)/root\(path)" }

    /// Runs a command of a shell inside, and throws where it fails.
    public func run(_ command: String) async throws {
        let result = try await run("/bin/sh", ["-ec", command])
        guard result.code == 0 else { throw TestFailure("\(result)") }
    }

    /// Runs a command inside to its end.
    public func run(_ program: String, _ arguments: [String]) async throws -> CommandResult {
        try await ChildProcess.run(
            wrapper[0], wrapper.dropFirst() + [program] + arguments, environment: Self.environment)
    }

    /// Starts a command inside.
    public func start(_ program: String, _ arguments: [String]) throws -> ChildProcess {
        try ChildProcess(
            wrapper[0], wrapper.dropFirst() + [program] + arguments, environment: Self.environment, diesWithParent: true
        )
    }

    /// Joins its network to another one's by a wire with an address at each end.
    public func connect(_ address: String, to other: PrivatePlace, _ otherAddress: String) async throws {
        try await run("ip link add wire type veth peer name wire netns \(other.holder.pid)")
        for (place, address) in [(self, address), (other, otherAddress)] {
            try await place.run("ip address add \(address) dev wire; ip link set wire up")
        }
    }

    /// Whether this machine can give one.
    public static var canBeMade: Bool {
        get async throws { try await obstacle.value == nil }
    }

    /// Why it can give none; nil where it can.
    private static let obstacle = Task { () async throws -> String? in
        let trial = try await ChildProcess.run(
            "/usr/bin/unshare",
            [
                "--net", "--mount", "--", "/bin/sh", "-ec",
                "ip link set lo up; ip link add wire0 type veth peer name wire1; mount -t tmpfs none /mnt",
            ],
            environment: environment)
        return trial.code == 0 ? nil : trial.description
    }
}
