import Glibc

/// A Python with AWS's own library and moto, for tests that compare with the one or run against the other: `$EICED_TEST_PYTHON`, which
/// `make test` provides, or the machine's. Tests that use it are skipped by name where it lacks what they need.
public enum Python {
    private static let program = getenv("EICED_TEST_PYTHON").map { String(cString: $0) } ?? "python3"

    public static func has(_ module: String) async throws -> Bool {
        guard let child = try? start("-c", "import \(module)") else { return false }
        return try await child.exit() == .code(0)
    }

    /// What a program prints.
    public static func run(_ arguments: String...) async throws -> String {
        let child = try start(arguments)
        guard try await child.exit() == .code(0) else { throw TestFailure("\(program): \(child.standardError)") }
        return child.standardOutput
    }

    public static func start(_ arguments: String...) throws -> ChildProcess { try start(arguments) }

    private static func start(_ arguments: [String]) throws -> ChildProcess {
        var environment: [String: String] = [:]
        // Where modules are found can depend on HOME and more; AWS's own variables must not leak in.
        for name in ["HOME", "PATH", "PYTHONPATH", "VIRTUAL_ENV", "PYENV_ROOT", "PYENV_VERSION", "LANG"] {
            if let value = getenv(name) { environment[name] = String(cString: value) }
        }
        return try ChildProcess("/usr/bin/env", [program] + arguments, environment: environment, diesWithParent: true)
    }
}
