import Failures

/// Everything that is wrong with a configuration file: all of it, so that a person corrects it in one go.
public struct InvalidConfiguration: Error, Sendable, Equatable, CustomStringConvertible {
    /// One for each mistake, in the order they stand in the file, of the kind `.configuration`:
    /// `FILE:LINE:COLUMN: KEY: expected …`.
    public var failures: [Failure]

    public init(failures: [Failure]) { self.failures = failures }

    /// All of them in one, where only one can be told.
    public var summary: Failure {
        guard let first = failures.first else { return Failure(.configuration, "the configuration is not valid") }
        guard failures.count > 1 else { return first }
        return Failure(
            .configuration, "the configuration has \(failures.count) mistakes",
            why: ListText.brief(failures.map(\.sentence), separator: "; ", longest: 400), hint: "eiced --check")
    }

    public var description: String { failures.map(\.description).joined(separator: "\n") }
}

/// Where a mistake is: a line and a column, and the key it is about.
struct ConfigurationPlace {
    var line: Int
    var column: Int
    var key: String

    /// The place of a key's value, which is where a wrong value is to be corrected.
    init(_ node: TOMLNode, key: String) { (line, column, self.key) = (node.line, node.column, key) }

    init(_ entry: TOMLNode.Entry, key: String) { (line, column, self.key) = (entry.line, entry.column, key) }

    /// `key` inside `table`, quoted where TOML needs it.
    static func path(_ table: String, _ key: String) -> String {
        let isBare =
            !key.isEmpty
            && key.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
        let part = isBare ? key : String(reflecting: key)
        return table.isEmpty ? part : "\(table).\(part)"
    }
}

/// The mistakes and warnings collected while one file is read.
struct ConfigurationProblems {
    let file: String
    private(set) var warnings: [String] = []
    private var found: [(line: Int, column: Int, failure: Failure)] = []

    init(file: String) { self.file = file }

    /// How many mistakes there are.
    var count: Int { found.count }

    /// The mistakes in the file's order, whatever order the checks are made in.
    var failures: [Failure] {
        found.enumerated().sorted { a, b in
            (a.element.line, a.element.column, a.offset) < (b.element.line, b.element.column, b.offset)
        }.map(\.element.failure)
    }

    mutating func add(_ place: ConfigurationPlace, _ why: String) {
        found.append((place.line, place.column, Failure(.configuration, text(place), why: why)))
    }

    mutating func warn(_ place: ConfigurationPlace, _ text: String) {
        warnings.append("\(self.text(place)): \(text)")
    }

    private func text(_ place: ConfigurationPlace) -> String {
        let position = "\(file):\(place.line):\(place.column)"
        return place.key.isEmpty ? position : "\(position): \(place.key)"
    }
}
