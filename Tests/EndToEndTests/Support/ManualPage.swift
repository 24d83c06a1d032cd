import FoundationEssentials
import TestSupport

/// What a program says about its own command line (`--experimental-dump-help`).
struct ProgramHelp: Decodable {
    struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var discussion: String?
        var arguments: [Argument]?
        var subcommands: [Command]?
        var shouldDisplay: Bool
    }

    struct Argument: Decodable {
        struct Name: Decodable {
            /// "long", "short" or "longWithSingleDash".
            var kind: String
            var name: String
        }

        var kind: String
        var names: [Name]?
        var valueName: String?
        var abstract: String?
        var isOptional: Bool
        var isRepeating: Bool
        var shouldDisplay: Bool
    }

    var command: Command

    static func of(_ program: String) async throws -> Command {
        let dump = try await ChildProcess.run(program, ["--experimental-dump-help"])
        guard dump.code == 0 else { throw TestFailure(dump.description) }
        return try JSONDecoder().decode(ProgramHelp.self, from: Data(dump.output.utf8)).command
    }
}

/// The generated parts of the manual, in mdoc(7). Each stands in its page between two comments.
enum ManualPage {
    /// Options that a page explains once for all commands.
    static let common: Set<String> = ["version", "help", "socket", "json"]

    static func commands(_ program: ProgramHelp.Command) -> String {
        (program.subcommands ?? []).filter { $0.shouldDisplay && $0.commandName != "help" }.map { command in
            let arguments = (command.arguments ?? []).filter(\.shouldDisplay)
            let own = arguments.filter { !($0.names ?? []).contains { common.contains($0.name) } }
            return ".Ss \(program.commandName) \(command.commandName)\n" + synopsis(command, own)
                + prose(command.abstract ?? "") + options(own)
                + discussion(command.discussion ?? "")
        }.joined()
    }

    private static func synopsis(_ command: ProgramHelp.Command, _ arguments: [ProgramHelp.Argument]) -> String {
        var text = ".Nm Ic \(command.commandName)\n"
        if arguments.contains(where: { $0.kind != "positional" }) { text += ".Op Ar options\n" }
        for argument in arguments where argument.kind == "positional" {
            let name = escaped(argument.valueName ?? "") + (argument.isRepeating ? " ..." : "")
            text += argument.isOptional ? ".Op Ar \(name)\n" : ".Ar \(name)\n"
        }
        return text + ".Pp\n"
    }

    static func options(_ arguments: [ProgramHelp.Argument]) -> String {
        guard !arguments.isEmpty else { return "" }
        var text = ".Bl -tag -width Ds\n"
        for argument in arguments {
            switch argument.kind {
            case "positional": text += ".It Ar \(escaped(argument.valueName ?? ""))\n"
            default:
                let names = (argument.names ?? []).map { $0.kind == "short" ? $0.name : "-\($0.name)" }
                let value = argument.kind == "option" ? " Ar \(escaped(argument.valueName ?? ""))" : ""
                text += ".It " + names.map { "Fl \($0)\(value)" }.joined(separator: " , ") + "\n"
            }
            text += prose(argument.abstract ?? "")
            if argument.kind == "option", argument.isRepeating { text += "May be given several times.\n" }
        }
        return text + ".El\n"
    }

    /// Paragraphs; one whose lines are laid out (an example and what it means) stays as it is.
    private static func discussion(_ text: String) -> String {
        var result = ""
        for paragraph in text.split(separator: "\n\n") {
            let lines = paragraph.split(separator: "\n")
            let isLaidOut = lines.contains { $0.hasPrefix(" ") || $0.contains("   ") || $0.hasPrefix("eicectl ") }
            result +=
                isLaidOut
                ? ".Bd -literal -offset indent\n" + lines.map { literal($0) + "\n" }.joined() + ".Ed\n"
                : ".Pp\n" + prose(lines.joined(separator: " "))
        }
        return result
    }

    /// The tables of `docs/configuration.md` below headings such as ``## `[log]` ``.
    static func configuration(_ markdown: String) -> String {
        var text = ""
        for section in markdown.split(separator: "\n## ").dropFirst() where section.hasPrefix("`[") {
            let lines = section.split(separator: "\n", omittingEmptySubsequences: false)
            text += ".Ss \(escaped(lines[0].filter { $0 != "`" }))\n"
            let table = lines.drop { !$0.hasPrefix("|") }
            text += prose(lines.dropFirst().prefix { !$0.hasPrefix("|") }.joined(separator: " "))
            text += ".Bl -tag -width Ds\n"
            for row in table.dropFirst(2).prefix(while: { $0.hasPrefix("|") }) {
                let cells = row.split(separator: " | ").map { $0.filter { $0 != "|" }.trimmed }
                guard cells.count == 4 else { continue }
                text += ".It Ic \(cells[0].filter { $0 != "`" })\n"
                text += prose("Takes \(cells[1]).")
                text += prose(cells[3])
                if cells[2] != "–" { text += prose("Default: \(cells[2]).") }
            }
            text += ".El\n"
        }
        return text
    }

    // MARK: mdoc

    /// A sentence a line, as mdoc wants it; what Markdown has between backquotes is set off.
    static func prose(_ text: String) -> String {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard !words.isEmpty else { return "" }
        var lines: [String] = []
        var line: [Substring] = []
        for (index, word) in words.enumerated() {
            line.append(word)
            let next = index + 1 < words.count ? words[index + 1].first : nil
            let endsSentence = word.last == "." && (next.map { $0.isUppercase || $0 == "`" } ?? true)
            if endsSentence || line.reduce(0, { $0 + $1.count + 1 }) > 72 {
                lines.append(line.joined(separator: " "))
                line = []
            }
        }
        if !line.isEmpty { lines.append(line.joined(separator: " ")) }
        var isCode = false
        return lines.map { line in
            var text = ""
            for character in withoutLinks(line) {
                guard character == "`" else {
                    text += escaped(String(character))
                    continue
                }
                isCode.toggle()
                text += isCode ? #"\fB"# : #"\fR"#
            }
            return (text.hasPrefix(".") || text.hasPrefix("'") ? #"\&"# : "") + text + "\n"
        }.joined()
    }

    /// `[text](address)` is the text.
    private static func withoutLinks(_ line: String) -> String {
        line.replacing(#/\[([^\]]+)\]\([^)]+\)/#) { $0.output.1 }
    }

    private static func literal(_ line: Substring) -> String {
        let text = escaped(String(line)).replacing("-", with: #"\-"#)
        return text.hasPrefix(".") || text.hasPrefix("'") ? #"\&"# + text : text
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += #"\e"#
            case "\"": result += #"\(dq"#
            case _ where scalar.isASCII: result.unicodeScalars.append(scalar)
            default: result += "\\[u\(hexadecimal(scalar.value))]"
            }
        }
        return result
    }

    private static func hexadecimal(_ value: UInt32) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}

extension String {
    fileprivate var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
