/// How a command ended and what it said.
public struct CommandResult: Sendable, CustomStringConvertible {
    public var command: String
    public var exit: ChildProcess.Exit
    public var output: String
    public var errors: String

    /// The exit code, or nil where a signal ended it.
    public var code: Int32? { if case .code(let code) = exit { code } else { nil } }

    /// As in a terminal: for the message of an expectation that failed.
    public var description: String { "$ \(command)\n\(output)\(errors)(\(exit))" }
}

extension ChildProcess {
    /// Runs `program` to its end.
    public static func run(
        _ program: String, _ arguments: [String] = [], environment: [String: String] = ["PATH": "/usr/bin:/bin"],
        input: Input = .empty, within limit: Duration = .seconds(60)
    ) async throws -> CommandResult {
        let child = try ChildProcess(program, arguments, environment: environment, input: input)
        return try await child.result(of: ([program] + arguments).joined(separator: " "), within: limit)
    }

    /// Waits for the end.
    ///
    /// - Parameter command: what to call it in messages.
    public func result(of command: String, within limit: Duration = .seconds(60)) async throws -> CommandResult {
        let exit = try await exit(within: limit)
        return CommandResult(command: command, exit: exit, output: standardOutput, errors: standardError)
    }
}
