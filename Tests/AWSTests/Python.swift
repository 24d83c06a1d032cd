import AWS
import TestSupport

/// The machine's Python, for tests that compare with AWS's own library. No test needs it to pass.
enum Python {
    static func has(_ module: String) async throws -> Bool {
        guard let child = try? start("-c", "import \(module)") else { return false }
        return try await child.exit() == .code(0)
    }

    /// What a program prints.
    static func run(_ arguments: String...) async throws -> String {
        let child = try start(arguments)
        guard try await child.exit() == .code(0) else { throw TestFailure("python3: \(child.standardError)") }
        return child.standardOutput
    }

    static func start(_ arguments: String...) throws -> ChildProcess { try start(arguments) }

    static func start(_ arguments: [String]) throws -> ChildProcess {
        try ChildProcess("/usr/bin/env", ["python3"] + arguments, environment: Environment.current().values)
    }
}
