/// The parameters of an EC2 Query API call (form-encoded, `Action=…&Filter.1.Name=…`).
struct EC2Query: Sendable {
    private var values: [String: String] = [:]

    /// Nil when the body is not form-encoded.
    init?(_ body: some Sequence<UInt8>) {
        guard let text = String(validating: Array(body), as: UTF8.self),
            let parameters = PercentCoding.parameters(text[...], plusIsSpace: true)
        else { return nil }
        for parameter in parameters { values[parameter.name] = parameter.value }
    }

    subscript(name: String) -> String? { values[name] }

    /// `InstanceId.1`, `InstanceId.2`, …: in the order of their numbers, which need not be without gaps.
    func list(_ prefix: String) -> [String] {
        numbers(of: prefix, allowingMore: false).compactMap { values["\(prefix).\($0)"] }
    }

    /// `Filter.1.Name` with `Filter.1.Value.1`, ….
    var filters: [(name: String, values: [String])] {
        numbers(of: "Filter", allowingMore: true).compactMap { number in
            values["Filter.\(number).Name"].map { ($0, list("Filter.\(number).Value")) }
        }
    }

    private func numbers(of prefix: String, allowingMore: Bool) -> [Int] {
        var found: Set<Int> = []
        for key in values.keys where key.hasPrefix("\(prefix).") {
            let rest = key.dropFirst(prefix.count + 1).split(separator: ".")
            guard let first = rest.first, let number = Int(first), allowingMore || rest.count == 1 else { continue }
            found.insert(number)
        }
        return found.sorted()
    }

    /// Whether a filter's value fits: `*` stands for any characters, `?` for one, a backslash takes the next one
    /// literally; letters' case counts.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>
    static func matches(_ text: String, pattern: String) -> Bool {
        enum Part {
            case one, any
            case exactly(Unicode.Scalar)
        }
        var parts: [Part] = []
        var scalars = pattern.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            switch scalar {
            case "*": parts.append(.any)
            case "?": parts.append(.one)
            case "\\": parts.append(.exactly(scalars.next() ?? "\\"))
            default: parts.append(.exactly(scalar))
            }
        }
        // Backtracking over the last star alone: linear memory, at most quadratic time.
        let text = Array(text.unicodeScalars)
        var inText = 0
        var inPattern = 0
        var star: (pattern: Int, text: Int)?
        while inText < text.count {
            if inPattern < parts.count {
                switch parts[inPattern] {
                case .any:
                    star = (inPattern, inText)
                    inPattern += 1
                    continue
                case .one:
                    inText += 1
                    inPattern += 1
                    continue
                case .exactly(let scalar) where scalar == text[inText]:
                    inText += 1
                    inPattern += 1
                    continue
                case .exactly: break
                }
            }
            guard let back = star else { return false }
            inPattern = back.pattern + 1
            inText = back.text + 1
            star = (back.pattern, inText)
        }
        return parts[inPattern...].allSatisfy { if case .any = $0 { true } else { false } }
    }
}
