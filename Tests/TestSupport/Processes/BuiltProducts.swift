import Glibc

/// The built programs.
public enum BuiltProducts {
    /// The daemon, `$EICED_TEST_EICED` or the one beside the tests.
    public static let eiced = path(of: "eiced", variable: "EICED_TEST_EICED")

    /// The companion, `$EICED_TEST_EICECTL` or the one beside the tests. `make test` names the static one there, since
    /// that is what people run.
    public static let eicectl = path(of: "eicectl", variable: "EICED_TEST_EICECTL")

    /// What the companion becomes, beside it.
    public static let eicectlCommands = "\(eicectl)-commands"

    /// The emulator, `$EICED_TEST_EMULATOR` or the one beside the tests.
    public static let emulator = path(of: "eice-emulator", variable: "EICED_TEST_EMULATOR")

    /// The echo for conformance suites, beside the tests.
    public static let wsecho = path(of: "wsecho", variable: "EICED_TEST_WSECHO")

    private static func path(of name: String, variable: String) -> String {
        if let named = getenv(variable) { return String(cString: named) }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let program = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = program.lastIndex(of: "/").map { String(program[..<$0]) } ?? "."
        return "\(folder)/\(name)"
    }
}
