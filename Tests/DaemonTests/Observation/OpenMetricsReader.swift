import TestSupport

/// Reads OpenMetrics text as strictly as OpenMetrics 1.0 asks for, so that a scraper never finds what it cannot read.
struct OpenMetricsReader {
    struct Sample: Equatable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    struct Family: Equatable {
        var type: String
        var unit: String?
        var help: String?
        var samples: [Sample] = []
    }

    private(set) var families: [String: Family] = [:]

    init(_ text: String) throws {
        guard text.hasSuffix("\n# EOF\n") || text == "# EOF\n" else { throw TestFailure("no # EOF at the end") }
        var current: String?
        var seen: Set<String> = []
        for line in text.dropLast("# EOF\n".count).split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if line.hasPrefix("# ") {
                let parts = line.split(separator: " ", maxSplits: 3).map(String.init)
                guard parts.count == 4 else { throw TestFailure("metadata without a value: \(line)") }
                let name = parts[2]
                if parts[1] == "TYPE" {
                    guard families[name] == nil else { throw TestFailure("\(name) is there twice") }
                    guard Self.isName(name) else { throw TestFailure("\(name) is no name") }
                    families[name] = Family(type: parts[3])
                    current = name
                }
                guard current == name else { throw TestFailure("\(line) is not with its family") }
                if parts[1] == "UNIT" {
                    guard name.hasSuffix("_\(parts[3])") else {
                        throw TestFailure("\(name) does not end with its unit")
                    }
                    families[name]?.unit = parts[3]
                }
                if parts[1] == "HELP" { families[name]?.help = parts[3] }
                continue
            }
            guard let current, let type = families[current]?.type else { throw TestFailure("no family: \(line)") }
            let sample = try Self.sample(line)
            let suffix = String(sample.name.dropFirst(current.count))
            guard sample.name.hasPrefix(current), Self.suffixes[type]?.contains(suffix) == true else {
                throw TestFailure("\(sample.name) is no sample of the \(type) \(current)")
            }
            let identity = "\(sample.name) \(sample.labels.sorted { $0.key < $1.key })"
            guard seen.insert(identity).inserted else { throw TestFailure("\(identity) is there twice") }
            guard type == "gauge" || sample.value >= 0 else { throw TestFailure("\(identity) is negative") }
            families[current]?.samples.append(sample)
        }
        for (name, family) in families where family.type == "histogram" { try Self.check(name, family) }
    }

    subscript(name: String) -> [Sample] { families[name]?.samples ?? [] }

    private static let suffixes: [String: Set<String>] = [
        "gauge": [""], "counter": ["_total", "_created"], "info": ["_info"],
        "histogram": ["_bucket", "_count", "_sum", "_created"],
    ]

    private static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, first == UInt8(ascii: "_") || !(48...57).contains(first) else {
            return false
        }
        return text.utf8.allSatisfy {
            (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "_")
        }
    }

    private static func sample(_ line: Substring) throws -> Sample {
        let name = line.prefix { $0 != "{" && $0 != " " }
        var rest = line[name.endIndex...]
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while rest.first != "}" {
                let key = rest.prefix { $0 != "=" }
                rest = rest[key.endIndex...].dropFirst()
                guard isName(String(key)), rest.first == "\"" else { throw TestFailure("no label: \(line)") }
                rest = rest.dropFirst()
                var value = ""
                while let character = rest.popFirst(), character != "\"" {
                    guard character == "\\" else {
                        value.append(character)
                        continue
                    }
                    switch rest.popFirst() {
                    case "n": value.append("\n")
                    case "\\": value.append("\\")
                    case "\"": value.append("\"")
                    default: throw TestFailure("an unknown escape: \(line)")
                    }
                }
                guard labels.updateValue(value, forKey: String(key)) == nil else { throw TestFailure("twice: \(key)") }
                if rest.first == "," {
                    rest = rest.dropFirst()
                } else if rest.first != "}" {
                    throw TestFailure("labels do not end: \(line)")
                }
            }
            rest = rest.dropFirst()
        }
        guard isName(String(name)), rest.first == " ", let value = Double(rest.dropFirst()) else {
            throw TestFailure("no sample: \(line)")
        }
        return Sample(name: String(name), labels: labels, value: value)
    }

    /// Buckets that only grow, the last of them infinite and equal to the count.
    private static func check(_ name: String, _ family: Family) throws {
        var series: [[String: String]: [Sample]] = [:]
        for sample in family.samples where sample.name == "\(name)_bucket" {
            series[sample.labels.filter { $0.key != "le" }, default: []].append(sample)
        }
        for (labels, buckets) in series {
            let bounds = buckets.compactMap { $0.labels["le"].map { $0 == "+Inf" ? .infinity : Double($0) ?? -1 } }
            guard bounds == bounds.sorted(), bounds.last == .infinity else { throw TestFailure("\(name): its bounds") }
            guard buckets.map(\.value) == buckets.map(\.value).sorted() else { throw TestFailure("\(name) falls") }
            let count = family.samples.first { $0.name == "\(name)_count" && $0.labels == labels }
            guard count?.value == buckets.last?.value else { throw TestFailure("\(name): its count") }
        }
    }
}
