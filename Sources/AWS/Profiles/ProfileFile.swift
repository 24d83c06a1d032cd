import Basics

/// One configuration file of AWS, parsed into its sections.
///
/// The grammar is that of the AWS CLI, whose reader is Python's `RawConfigParser` (documented under
/// "Supported INI File Structure" of configparser): `[section]`; `key = value` or `key: value`; `#` and `;` comments
/// on lines of their own only; deeper indented lines continue a value; a value that starts on the next line and is
/// indented is a set of nested `key = value` pairs; a section or a key given twice is an error; `[DEFAULT]` holds
/// defaults of every section. Two deliberate differences: a byte order mark at the start is skipped, not refused; and a mistake costs
/// the section that it stands in, not the whole file, so that the other profiles go on.
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
        /// The first mistake in it: nothing of the section may be used.
        public fileprivate(set) var problem: Malformation?
    }

    /// What makes a section or a whole file unusable, and where.
    public struct Malformation: Error, Sendable, Hashable {
        public let line: Int
        public let reason: String
    }

    public private(set) var sections: [String: Section] = [:]
    /// Section names in the order of the file.
    public private(set) var order: [String] = []

    /// - Throws: where the mistake stands before the first section, or in `[DEFAULT]`, so that it concerns all of them.
    public init(parsing bytes: [UInt8]) throws(Malformation) {
        let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let text = bytes.starts(with: byteOrderMark) ? bytes.dropFirst(3) : bytes[...]
        var reader = LineReader()
        for (index, line) in Self.lines(of: text).enumerated() { try reader.read(line, number: index + 1) }
        let (sections, order) = try reader.finish()
        self.sections = sections
        self.order = order
    }

    /// The mistakes in all sections, in the order of the file.
    public var problems: [Malformation] { sections.values.compactMap(\.problem).sorted { $0.line < $1.line } }

    /// LF, CR LF and a lone CR each end a line, and nothing else does.
    private static func lines(of bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        var start = bytes.startIndex
        var index = start
        while index < bytes.endIndex {
            let byte = bytes[index]
            index += 1
            guard byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") else { continue }
            lines.append(bytes[start..<index - 1])
            if byte == UInt8(ascii: "\r"), index < bytes.endIndex, bytes[index] == UInt8(ascii: "\n") { index += 1 }
            start = index
        }
        return lines + [bytes[start...]]
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
        var problem: ProfileFile.Malformation?
    }

    private static let defaults = "DEFAULT"
    private var sections: [String: DraftSection] = [:]
    private var order: [String] = []
    private var section: String?
    private var option: String?
    private var indentation = 0

    mutating func read(_ bytes: ArraySlice<UInt8>, number: Int) throws(ProfileFile.Malformation) {
        try read(String(decoding: bytes, as: UTF8.self), number: number)
        if String(validating: bytes, as: UTF8.self) == nil { try note(number, "is not UTF-8 text") }
    }

    private mutating func read(_ line: String, number: Int) throws(ProfileFile.Malformation) {
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
            try begin(String(text[text.index(after: text.startIndex)..<close]), number: number)
        } else if let section {
            try readOption(text, in: section, number: number)
        } else {
            throw .init(line: number, reason: "a [section] is expected before the first setting")
        }
    }

    private mutating func begin(_ name: String, number: Int) throws(ProfileFile.Malformation) {
        let earlier = sections[name]?.line
        if earlier == nil {
            sections[name] = DraftSection(line: number)
            if name != Self.defaults { order.append(name) }
        }
        section = name
        option = nil
        guard let earlier, name != Self.defaults else { return }
        // Which of the two is meant is not known.
        try note(number, "section [\(name)] stands a second time (first on line \(earlier))")
    }

    private mutating func readOption(_ text: String, in section: String, number: Int) throws(ProfileFile.Malformation) {
        guard let delimiter = text.unicodeScalars.firstIndex(where: { $0 == "=" || $0 == ":" }) else {
            try note(number, "\"name = value\" is expected")
            option = nil
            return
        }
        let name = String(text[..<delimiter]).trimmingWhitespace().lowercased()
        if name.isEmpty { try note(number, "a name is expected before \"\(text.unicodeScalars[delimiter])\"") }
        if let earlier = sections[section]?.entries[name] {
            try note(number, "\(name) stands a second time in [\(section)] (first on line \(earlier.line))")
        }
        let value = String(text.unicodeScalars[delimiter...].dropFirst()).trimmingWhitespace()
        sections[section]?.entries[name] = Draft(lines: [value], line: number)
        option = name
    }

    /// A mistake in the present section; one that concerns all sections is thrown.
    private mutating func note(_ line: Int, _ reason: String) throws(ProfileFile.Malformation) {
        let problem = ProfileFile.Malformation(line: line, reason: reason)
        guard let section, section != Self.defaults else { throw problem }
        if sections[section]?.problem == nil { sections[section]?.problem = problem }
    }

    func finish() throws(ProfileFile.Malformation) -> ([String: ProfileFile.Section], [String]) {
        var result: [String: ProfileFile.Section] = [:]
        var defaults: [String: ProfileFile.Entry] = [:]
        for (key, entry) in sections[Self.defaults]?.entries ?? [:] {
            defaults[key] = .init(value: try value(of: entry), line: entry.line)
        }
        for name in order {
            guard let draft = sections[name] else { continue }
            var section = ProfileFile.Section(line: draft.line, entries: defaults, problem: draft.problem)
            for (key, entry) in draft.entries {
                do throws(ProfileFile.Malformation) {
                    section.entries[key] = .init(value: try value(of: entry), line: entry.line)
                } catch {
                    if section.problem.map({ error.line < $0.line }) ?? true { section.problem = error }
                }
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
