import Failures

/// Writes OpenMetrics text (OpenMetrics 1.0, section "Text format"): families with their kind, unit and help, then their
/// samples, `# EOF` last.
struct OpenMetrics {
    enum Kind: String {
        case counter, gauge, histogram, info
    }

    typealias Labels = [(name: String, value: String)]

    private var lines: [String] = []

    /// A family's samples, written by `samples`.
    ///
    /// - Parameters:
    ///   - unit: the last part of `name`, where it has one.
    mutating func family(
        _ name: String, _ kind: Kind, unit: String? = nil, help: String, _ samples: (inout Family) -> Void
    ) {
        lines.append("# TYPE \(name) \(kind.rawValue)")
        if let unit { lines.append("# UNIT \(name) \(unit)") }
        lines.append("# HELP \(name) \(Self.escape(help))")
        var family = Family(name: name)
        samples(&family)
        lines += family.lines
    }

    /// A family of one sample without labels.
    mutating func gauge(_ name: String, unit: String? = nil, help: String, _ value: some BinaryInteger) {
        family(name, .gauge, unit: unit, help: help) { $0.add(value: "\(value)") }
    }

    struct Family {
        fileprivate let name: String
        fileprivate var lines: [String] = []

        fileprivate init(name: String) { self.name = name }

        mutating func add(_ suffix: String = "", _ labels: Labels = [], _ value: some BinaryInteger) {
            add(suffix, labels, value: "\(value)")
        }

        mutating func add(_ suffix: String = "", _ labels: Labels = [], value: String) {
            let text = labels.map { "\($0.name)=\"\(OpenMetrics.escape($0.value))\"" }.joined(separator: ",")
            lines.append("\(name)\(suffix)\(text.isEmpty ? "" : "{\(text)}") \(value)")
        }

        /// A histogram's samples: buckets count what is at most their bound, the last one all.
        mutating func add(_ histogram: Histogram, _ labels: Labels) {
            var total = 0
            for (bound, count) in zip(Histogram.bounds, histogram.counts) {
                total += count
                add("_bucket", labels + [("le", "\(bound)")], total)
            }
            add("_bucket", labels + [("le", "+Inf")], histogram.count)
            add("_count", labels, histogram.count)
            add("_sum", labels, value: "\(histogram.sum)")
        }
    }

    /// Backslash, quote and line feed stand escaped, in labels and in help alike.
    private static func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            // The format has no escape for these: shown as a log shows them.
            case _ where ForeignText.isUnsafe(scalar): escaped += "\\\(scalar.escaped(asASCII: true))"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    var text: String { (lines + ["# EOF"]).map { $0 + "\n" }.joined() }
}

/// How often lengths of time fell between bounds.
struct Histogram: Sendable {
    /// Upper bounds in seconds: from a local endpoint's milliseconds to a dial's deadline.
    static let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0]

    /// By bound, each alone.
    private(set) var counts = [Int](repeating: 0, count: Histogram.bounds.count)
    private(set) var count = 0
    private(set) var sum = 0.0

    mutating func add(_ length: Duration) {
        let seconds = length / .seconds(1)
        count += 1
        sum += seconds
        if let index = Self.bounds.firstIndex(where: { seconds <= $0 }) { counts[index] += 1 }
    }
}
