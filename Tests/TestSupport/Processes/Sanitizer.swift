import Glibc

/// The sanitizer that all of this was built with, where `make sanitize` runs the tests (scripts/sanitize.sh).
public enum Sanitizer: String, Sendable {
    case thread, address

    /// Nil in an ordinary build.
    public static let current: Sanitizer? = [.thread, .address].first { getenv($0.optionsVariable) != nil }

    /// Whether no sanitizer is in the way of a measurement.
    public static var isAbsent: Bool { current == nil }

    /// What a program's runtime must be told so that its reports are found: children of the tests inherit nothing else.
    public static var environment: [String: String] {
        guard let current else { return [:] }
        var variables: [String: String] = [:]
        for name in [current.optionsVariable, "LSAN_OPTIONS"] {
            variables[name] = getenv(name).map { String(cString: $0) }
        }
        return variables
    }

    /// The same for a program in a sandbox that neither writes where the reports are nor looks into itself for leaks: they go to
    /// its standard error.
    public static var sandboxedEnvironment: [String: String] {
        environment.mapValues { options in
            options.split(separator: ":").filter { !$0.hasPrefix("log_path=") && !$0.hasPrefix("detect_leaks=") }
                .joined(separator: ":") + ":detect_leaks=0"
        }
    }

    /// Whether a text has a report.
    public static func reports(in text: String) -> Bool {
        ["WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer"].contains { text.contains($0) }
    }

    private var optionsVariable: String {
        switch self {
        case .thread: "TSAN_OPTIONS"
        case .address: "ASAN_OPTIONS"
        }
    }
}
