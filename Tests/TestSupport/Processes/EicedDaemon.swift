import Glibc

/// `eiced` as a child, with all its folders in a temporary one, and `eicectl` beside it.
public final class EicedDaemon: Sendable {
    public let directory: TemporaryDirectory
    public let socket: String
    public let process: ChildProcess
    /// What the daemon was started with, and what `eicectl` gets.
    public let environment: [String: String]

    /// Starts the daemon and waits until its socket answers.
    ///
    /// - Parameters:
    ///   - environment: beside PATH, HOME and the XDG folders.
    ///   - configuration: the content of config.toml.
    ///   - wrapper: a program with arguments that runs it in its own place, such as nsenter(1).
    public static func start(
        environment: [String: String] = [:], configuration: String? = nil, arguments: [String] = [],
        in directory: TemporaryDirectory? = nil, wrapper: [String] = [], program: String = BuiltProducts.eiced
    ) async throws -> EicedDaemon {
        let daemon = try EicedDaemon(
            environment: environment, configuration: configuration, arguments: arguments,
            directory: try directory ?? TemporaryDirectory(), wrapper: wrapper, program: program)
        try await eventually("eiced answers") {
            if daemon.process.exit != nil { throw TestFailure("eiced ended: \(daemon.log)") }
            return (try? LoopbackSocket.connect(path: daemon.socket)) != nil
        }
        return daemon
    }

    /// Starts it and waits for nothing.
    public init(
        environment: [String: String], configuration: String?, arguments: [String], directory: TemporaryDirectory,
        wrapper: [String] = [], program: String = BuiltProducts.eiced
    ) throws {
        self.directory = directory
        self.environment = try Self.environment(in: directory).merging(environment) { $1 }
        if let configuration {
            try directory.makeDirectory("config/eiced")
            try directory.write("config/eiced/config.toml", configuration)
        }
        socket = directory("run/eiced/control.sock")
        let command = wrapper + [program] + arguments
        process = try ChildProcess(
            command[0], Array(command.dropFirst()), environment: self.environment, diesWithParent: true)
    }

    /// An environment whose folders are all in `directory`; AWS's own files are named and absent.
    public static func environment(in directory: TemporaryDirectory) throws -> [String: String] {
        [
            "PATH": "/usr/bin:/bin",
            "HOME": try directory.makeDirectory("home"),
            "XDG_RUNTIME_DIR": try directory.makeDirectory("run"),
            "XDG_CONFIG_HOME": try directory.makeDirectory("config"),
            "XDG_STATE_HOME": try directory.makeDirectory("state"),
            "AWS_EC2_METADATA_DISABLED": "true",
        ]
        // Also for a daemon that somebody else starts.
        .merging(Sanitizer.environment) { $1 }
    }

    /// What it wrote to stderr.
    public var log: String { process.standardError }

    /// Runs `eicectl` to its end.
    public func eicectl(
        _ arguments: String..., environment: [String: String] = [:], input: ChildProcess.Input = .empty
    ) async throws -> CommandResult {
        try await ChildProcess.run(
            BuiltProducts.eicectl, arguments, environment: self.environment.merging(environment) { $1 }, input: input)
    }

    /// Starts `eicectl`.
    public func startEicectl(
        _ arguments: [String], environment: [String: String] = [:], input: ChildProcess.Input = .empty,
        output: ChildProcess.Output = .captured
    ) throws -> ChildProcess {
        try ChildProcess(
            BuiltProducts.eicectl, arguments, environment: self.environment.merging(environment) { $1 }, input: input,
            output: output)
    }
}
