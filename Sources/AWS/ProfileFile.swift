/// One configuration file of AWS, parsed into its sections.
///
/// The grammar is that of the AWS CLI, whose reader is Python's `RawConfigParser` (documented under
/// "Supported INI File Structure" of configparser): `[section]`; `key = value` or `key: value`; `#` and `;` comments
/// on lines of their own only; deeper indented lines continue a value; a value that starts on the next line and is
/// indented is a set of nested `key = value` pairs; a section or a key given twice is an error; `[DEFAULT]` holds
/// defaults of every section. One deliberate difference: a byte order mark at the start is skipped, not refused.
public struct ProfileFile: Sendable, Hashable {
    public enum Value: Sendable, Hashable {
        case text(String)
        case nested([String: String])
    }

    /// A value with the line it began on.
    public struct Entry: Sendable, Hashable {
        public let value: Value
        public let line: Int
    }

    public struct Section: Sendable, Hashable {
        public let line: Int
        public fileprivate(set) var entries: [String: Entry] = [:]
    }

    /// What makes a file unreadable, and where.
    public struct Malformation: Error, Sendable, Hashable {
        public let line: Int
        public let reason: String
    }

    public private(set) var sections: [String: Section] = [:]
    /// Section names in the order of the file.
    public private(set) var order: [String] = []

    public init(parsing bytes: [UInt8]) throws(Malformation) {
        guard let whole = String(validating: bytes, as: UTF8.self) else {
            throw Malformation(line: Self.lineOfBadText(bytes), reason: "is not UTF-8 text")
        }
        var reader = LineReader()
        // LF, CR LF and a lone CR each end a line, and nothing else does. Each of them is one Character.
        let text =
            whole.unicodeScalars.first == "\u{FEFF}" ? whole.unicodeScalars.dropFirst() : whole.unicodeScalars[...]
        let lines = Substring(text).split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }
        for (index, line) in lines.enumerated() { try reader.read(String(line), number: index + 1) }
        let (sections, order) = try reader.finish()
        self.sections = sections
        self.order = order
    }

    private static func lineOfBadText(_ bytes: [UInt8]) -> Int {
        var line = 1
        for part in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if String(validating: part, as: UTF8.self) == nil { return line }
            line += 1
        }
        return line
    }
}

/// The state between two lines.
private struct LineReader {
    private struct Draft {
        var lines: [String]
        var line: Int
    }

    private struct DraftSection {
        var line: Int
        var entries: [String: Draft] = [:]
    }

    private static let defaults = "DEFAULT"
    private var sections: [String: DraftSection] = [:]
    private var order: [String] = []
    private var section: String?
    private var option: String?
    private var indentation = 0
    private var firstProblem: ProfileFile.Malformation?

    mutating func read(_ line: String, number: Int) throws(ProfileFile.Malformation) {
        let text = line.trimmingWhitespace()
        if text.hasPrefix("#") || text.hasPrefix(";") { return }
        if text.isEmpty {
            // A blank line belongs to the value it stands in; blank lines at the end of a value are cut off later.
            if let section, let option { sections[section]?.entries[option]?.lines.append("") }
            return
        }
        let indentation = line.unicodeScalars.prefix { $0.properties.isWhitespace }.count
        if let section, let option, indentation > self.indentation {
            sections[section]?.entries[option]?.lines.append(text)
            return
        }
        self.indentation = indentation
        if text.hasPrefix("["), let close = text.unicodeScalars.lastIndex(of: "]"),
            close > text.index(after: text.startIndex)
        {
            let name = String(text[text.index(after: text.startIndex)..<close])
            if let earlier = sections[name], name != Self.defaults {
                throw .init(
                    line: number, reason: "section [\(name)] stands a second time (first on line \(earlier.line))")
            }
            if sections[name] == nil {
                sections[name] = DraftSection(line: number)
                if name != Self.defaults { order.append(name) }
            }
            section = name
            option = nil
        } else if let section {
            try readOption(text, in: section, number: number)
        } else {
            throw .init(line: number, reason: "a [section] is expected before the first setting")
        }
    }

    private mutating func readOption(_ text: String, in section: String, number: Int) throws(ProfileFile.Malformation) {
        guard let delimiter = text.unicodeScalars.firstIndex(where: { $0 == "=" || $0 == ":" }) else {
            note(number, "\"name = value\" is expected")
            return
        }
        let name = String(text[..<delimiter]).trimmingWhitespace().lowercased()
        if name.isEmpty { note(number, "a name is expected before \"\(text.unicodeScalars[delimiter])\"") }
        if let earlier = sections[section]?.entries[name] {
            throw .init(
                line: number, reason: "\(name) stands a second time in [\(section)] (first on line \(earlier.line))")
        }
        let value = String(text.unicodeScalars[delimiter...].dropFirst()).trimmingWhitespace()
        sections[section]?.entries[name] = Draft(lines: [value], line: number)
        option = name
    }

    /// A line without a delimiter makes the file unusable only at its end: an earlier error is told first.
    private mutating func note(_ line: Int, _ reason: String) {
        if firstProblem == nil { firstProblem = .init(line: line, reason: reason) }
    }

    func finish() throws(ProfileFile.Malformation) -> ([String: ProfileFile.Section], [String]) {
        if let firstProblem { throw firstProblem }
        var result: [String: ProfileFile.Section] = [:]
        let defaults = sections[Self.defaults]?.entries ?? [:]
        for name in order {
            guard let draft = sections[name] else { continue }
            var section = ProfileFile.Section(line: draft.line)
            for (key, entry) in defaults.merging(draft.entries, uniquingKeysWith: { $1 }) {
                section.entries[key] = .init(value: try value(of: entry), line: entry.line)
            }
            result[name] = section
        }
        return (result, order)
    }

    private func value(of draft: Draft) throws(ProfileFile.Malformation) -> ProfileFile.Value {
        let text = draft.lines.joined(separator: "\n").trimmingTrailingWhitespace()
        guard text.hasPrefix("\n") else { return .text(text) }
        var nested: [String: String] = [:]
        for (index, line) in draft.lines.enumerated() where !line.isEmpty {
            guard let equals = line.unicodeScalars.firstIndex(of: "=") else {
                throw .init(line: draft.line + index, reason: "\"name = value\" is expected in the indented block")
            }
            let name = String(line[..<equals]).trimmingWhitespace()
            nested[name] = String(line.unicodeScalars[equals...].dropFirst()).trimmingWhitespace()
        }
        return .nested(nested)
    }
}

extension String {
    func trimmingWhitespace() -> String {
        let scalars = unicodeScalars.drop { $0.properties.isWhitespace }
        return String(Substring(scalars)).trimmingTrailingWhitespace()
    }

    func trimmingTrailingWhitespace() -> String {
        var scalars = unicodeScalars[...]
        while let last = scalars.last, last.properties.isWhitespace { scalars = scalars.dropLast() }
        return String(scalars)
    }
}
