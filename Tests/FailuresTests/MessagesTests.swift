import Failures
import FoundationEssentials
import TestSupport
import Testing

/// `docs/messages.md` has every message that the sources can print, and nothing else.
@Suite struct MessagesTests {
    private func page() throws -> String { try Repository.text("docs/messages.md") }

    /// A kind (its word, or nil for several) and a message, in which `…` stands for what differs.
    private struct Message: Hashable, CustomStringConvertible {
        var kind: String?
        var text: String
        var description: String { "\(kind ?? "several kinds"): \(text)" }
    }

    /// The rows of the page's tables.
    private func documented() throws -> [Message] {
        var messages: [Message] = []
        var kind: String?
        for line in try page().split(separator: "\n") {
            if line.hasPrefix("## ") {
                kind =
                    line == "## In the log"
                    ? Self.log : line.hasPrefix("## `") ? String(line.dropFirst(4).dropLast()) : nil
            } else if line.hasPrefix("| `"), let end = line.ranges(of: "` | ").first {
                let cells = line[end.upperBound...].split(separator: " | ")
                #expect(cells.count == 2 && cells.allSatisfy { $0.count > 1 }, "no cause or no remedy: \(line)")
                messages.append(
                    Message(kind: kind, text: String(line[..<end.lowerBound].dropFirst(3)).replacing("\\|", with: "|")))
            }
        }
        return messages
    }

    /// Stands for a kind: what the daemon logs as a warning or worse, and tells nobody else.
    private static let log = "log"

    @Test func everyWarningOfTheLogIsExplainedAndNoOther() throws {
        var logged: Set<Message> = []
        for file in try Self.sources() where !file.contains("/EICEEmulator/") {
            for call in FailureCalls.logged(in: try Repository.text(file)) where call != "…" {
                logged.insert(Message(kind: Self.log, text: call))
            }
        }
        #expect(logged.count > 15)
        let documented = Set(try documented().filter { $0.kind == Self.log })
        #expect(documented == logged, "\(documented.symmetricDifference(logged).map(\.text).sorted())")
    }

    /// The names of kinds in Swift, and their words.
    private static func kinds() throws -> [String: Failure.Kind] {
        var kinds: [String: Failure.Kind] = [:]
        for match in try Repository.text("Sources/Failures/Kinds.swift").matches(
            of: #/let `?(\w+)`? = Self\(rawValue: "([^"]+)"\)/#)
        {
            kinds[String(match.output.1)] = Failure.Kind(rawValue: String(match.output.2))
        }
        return kinds
    }

    @Test func everyMessageOfTheSourcesIsExplainedAndNoOther() throws {
        let kinds = try Self.kinds()
        var printed: Set<Message> = []
        for file in try Self.sources() {
            for call in FailureCalls.all(in: try Repository.text(file)) {
                // A word behind a dot may be something else than a kind; where none is one, the code decides elsewhere.
                let words = call.names.compactMap { kinds[$0]?.rawValue }
                for kind in words.isEmpty ? [nil] : words.map(Optional.some) {
                    printed.insert(Message(kind: kind, text: call.message))
                }
            }
        }
        // As many as there are sentences: a scanner that finds nothing would be content with everything.
        #expect(printed.count > 200)
        let documented = try documented().filter { $0.kind != Self.log }
        for missing in printed.subtracting(documented).map(\.description).sorted() {
            Issue.record("docs/messages.md does not explain: \(missing)")
        }
        for old in Set(documented).subtracting(printed).map(\.description).sorted() {
            Issue.record("docs/messages.md explains what nothing prints: \(old)")
        }
        #expect(documented.count == Set(documented).count, "a message stands there twice")
    }

    @Test func theTableOfExitCodesIsThatOfTheKinds() throws {
        var table: [Int32: Set<String>] = [:]
        for line in try page().split(separator: "\n") {
            guard let match = line.wholeMatch(of: #/\| (\d+) \| (.*) \|/#), let code = Int32(match.output.1) else {
                continue
            }
            table[code] = Set(match.output.2.matches(of: #/`([^`]+)`/#).map { String($0.output.1) })
        }
        #expect(table.removeValue(forKey: 0) == [])
        let kinds = try Self.kinds().values
        #expect(kinds.count > 40)
        #expect(table == Dictionary(grouping: kinds, by: \.exitCode).mapValues { Set($0.map(\.rawValue)) })
    }

    /// All but the benchmark, which is no program that people install.
    private static func sources() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: "\(Repository.root)/Sources")
            .filter { $0.hasSuffix(".swift") && !$0.hasPrefix("Failures/") && !$0.lowercased().contains("bench") }
            .map { "Sources/\($0)" }.sorted()
    }
}

/// The places of a source file at which failures are made.
private enum FailureCalls {
    struct Call {
        /// What may be kinds, as Swift names them; several where the code chooses.
        var names: [String]
        /// `…` for what is interpolated, or for all of it where it is no literal.
        var message: String
    }

    static func all(in source: String) -> [Call] {
        let text = source.split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.drop(while: \.isWhitespace).hasPrefix("//") }.joined(separator: "\n")
        return text.matches(of: #/(?:^|[^A-Za-z.])Failure\(/#).compactMap { match in
            var scanner = Scanner(rest: text[match.range.upperBound...])
            let arguments = scanner.arguments()
            guard arguments.count > 1 else { return nil }
            let names = arguments[0].matches(of: #/\.([a-zA-Z]+)/#).map { String($0.output.1) }
            // `init(_ kind:`, `init(from:` and the like make none.
            guard !names.isEmpty || arguments[0] == "kind" else { return nil }
            return Call(names: names, message: literal(arguments[1]) ?? "…")
        }
    }

    /// What is logged as a warning or worse; `…` alone for what is no literal, or a failure's own words.
    static func logged(in source: String) -> [String] {
        source.matches(of: #/(?:^|[^A-Za-z])(?:logger|log)\.(?:warning|error|critical)\(|LogEntry\(\.warning, /#)
            .compactMap {
                match in
                var scanner = Scanner(rest: source[match.range.upperBound...])
                return scanner.arguments().first.map { literal($0) ?? "…" }
            }
    }

    /// A literal, or several that are added up.
    private static func literal(_ expression: String) -> String? {
        var rest = expression[...]
        var text = ""
        while true {
            rest = rest.drop(while: \.isWhitespace)
            guard rest.first == "\"" else { return nil }
            rest.removeFirst()
            while let character = rest.popFirst(), character != "\"" {
                text.append(character == "\\" ? rest.popFirst() ?? "\\" : character)
            }
            rest = rest.drop(while: \.isWhitespace)
            guard let next = rest.popFirst() else { return text }
            guard next == "+" else { return nil }
        }
    }

    /// Reads Swift as far as brackets, commas and strings go.
    private struct Scanner {
        var rest: Substring

        /// The arguments up to the closing bracket, with `…` for what is interpolated into strings.
        mutating func arguments() -> [String] {
            var arguments: [String] = []
            var argument = ""
            var depth = 0
            while let character = rest.popFirst() {
                switch character {
                case "#" where rest.first == "\"":
                    argument += "\"…\""
                    rest = rest.ranges(of: "\"#").first.map { rest[$0.upperBound...] } ?? ""
                case "\"": argument += string()
                case ")" where depth == 0: return arguments + [trimmed(argument)]
                case "," where depth == 0:
                    arguments.append(trimmed(argument))
                    argument = ""
                default:
                    if "([{".contains(character) { depth += 1 }
                    if ")]}".contains(character) { depth -= 1 }
                    argument.append(character)
                }
            }
            return arguments
        }

        /// A string's rest, after its first quotation mark.
        private mutating func string() -> String {
            var text = "\""
            while let character = rest.popFirst() {
                if character == "\\", rest.first == "(" {
                    rest.removeFirst()
                    _ = arguments()
                    text += "…"
                    continue
                }
                text.append(character)
                if character == "\\", let next = rest.popFirst() { text.append(next) }
                if character == "\"" { break }
            }
            return text
        }

        private func trimmed(_ text: String) -> String {
            String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
        }
    }
}
