import ControlProtocol
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// What the control protocol's documents say of a tunnel's settings is what the table says. `EICED_UPDATE_MANUAL=1` writes
/// it anew.
@Suite struct SettingsDocumentsTests {
    private static let settings = TunnelSetting.all.filter { $0.places.contains(.requests) }

    /// Compares the text between two marks, or writes it.
    private func expect(_ part: String, between start: String, and end: String, of page: String) throws {
        let text = try Repository.text(page)
        let begin = try #require(text.ranges(of: start).first, "\(page) has no \(start)").upperBound
        let stop = try #require(text[begin...].ranges(of: end).first, "\(page) has no \(end)").lowerBound
        if getenv("EICED_UPDATE_MANUAL") != nil {
            let new = text[..<begin] + part + text[stop...]
            try Data(String(new).utf8).write(to: URL(filePath: "\(Repository.root)/\(page)"), options: .atomic)
            return
        }
        #expect(text[begin..<stop] == part, "\(page) is old: EICED_UPDATE_MANUAL=1 writes it anew")
    }

    @Test("the page and the schema have every option and every setting that can be unset")
    func documents() throws {
        try expect(
            Self.settings.map { "| `\($0.name)` | \(takes($0)) |\n" }.joined(), between: "| option | |\n|---|---|\n",
            and: "\n`environment` is", of: "docs/control-protocol.md")
        let unset = ForwardSetParameters.Setting.allCases.map(\.rawValue)
        try expect(
            unset.map { "`\($0)`" }.joined(separator: ", "),
            between: "as if `forward.add` had not named them: ", and: " |\n", of: "docs/control-protocol.md")
        try expect(
            Self.settings.map(schema).joined(),
            between: "    \"tunnelOptions\": {\n      \"type\": \"object\",\n"
                + "      \"properties\": {\n",
            and: "        \"environment\": {", of: "docs/control-protocol.schema.json")
        try expect(
            unset.map { "                  \"\($0)\"" }.joined(separator: ",\n"),
            between: "\"description\": \"What is to be as if forward.add had not named it.\",\n"
                + "              \"items\": {\n                \"enum\": [\n",
            and: "\n                ]", of: "docs/control-protocol.schema.json")
    }

    private func takes(_ setting: TunnelSetting) -> String {
        guard let range = setting.range else { return setting.expected }
        return "seconds, from \(range.lowerBound) to \(range.upperBound)"
            + (setting.zero.map { ", or 0 for \($0)" } ?? "")
    }

    private func schema(_ setting: TunnelSetting) -> String {
        var lines = [
            "\"description\": \"\(setting.isLength ? "Seconds. " : "")\(setting.help.replacing("\"", with: "\\\""))\""
        ]
        if let range = setting.range {
            lines.insert("\"type\": \"integer\"", at: 0)
            lines.insert("\"minimum\": \(setting.zero == nil ? range.lowerBound : 0)", at: 1)
            lines.insert("\"maximum\": \(range.upperBound)", at: 2)
        } else if setting.choices.isEmpty {
            lines.insert("\"type\": \"string\"", at: 0)
        } else {
            lines.insert("\"enum\": [\(setting.choices.map { "\"\($0)\"" }.joined(separator: ", "))]", at: 0)
        }
        return "        \"\(setting.name)\": {\n"
            + lines.map { "          \($0)" }.joined(separator: ",\n") + "\n        },\n"
    }
}
