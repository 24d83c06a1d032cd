import ControlProtocol
import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import Daemon

@Suite struct ConfigurationReferenceTests {
    private static let isUpdating = getenv("EICED_UPDATE_MANUAL") != nil
    private let document: String
    private let example: String

    init() throws {
        document = try Repository.text("docs/configuration.md")
        example = try Repository.text("docs/config.example.toml")
    }

    private func section(_ heading: String) -> String? {
        guard let range = document.ranges(of: "\n## `\(heading)`\n").first else { return nil }
        let rest = document[range.upperBound...]
        return String(rest[..<(rest.ranges(of: "\n## ").first?.lowerBound ?? rest.endIndex)])
    }

    @Test func everyKeyIsDocumentedWithWhatItTakesAndItsDefault() throws {
        if Self.isUpdating { return try update() }
        for table in ConfigurationReference.tables {
            let text = try #require(section(table.heading), "\(table.heading) has no section")
            let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
            for (row, key) in zip(table.rows, table.keys)
            where !rows.contains(where: {
                key.meaning == nil ? $0.hasPrefix(row + " ") && $0.count > row.count + 6 : $0 == row
            }) {
                Issue.record("docs/configuration.md has no row in \(table.heading) that begins: \(row)")
            }
            #expect(rows.count == table.rows.count, "\(table.heading) documents keys that do not exist")
        }
    }

    /// `EICED_UPDATE_MANUAL=1` writes the rows of the tunnel's settings anew, and adds new ones to the example file.
    private func update() throws {
        var (document, example) = (document, example)
        for table in ConfigurationReference.tables where table.keys.contains(where: { $0.meaning != nil }) {
            let text = try #require(section(table.heading))
            let old = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
            let rows = zip(table.keys, table.rows).map { key, row in
                key.meaning == nil ? old.first { $0.hasPrefix("| `\(key.name)` ") }.map(String.init) ?? row : row
            }
            document = document.replacing(old.joined(separator: "\n"), with: rows.joined(separator: "\n"))
            let heading = "#\(Self.exampleNames[table.heading] ?? table.heading)\n"
            let start = try #require(example.ranges(of: heading).first).upperBound
            let keys = example[start...].split(separator: "\n", omittingEmptySubsequences: false).prefix { !$0.isEmpty }
            for key in table.keys where key.meaning != nil && !keys.contains(where: { $0.hasPrefix("#\(key.name) =") })
            {
                let setting = try #require(TunnelSetting.all.first { $0.key == key.name })
                let value = setting.standard.map(TunnelSetting.written) ?? setting.choices.first
                example.insert(
                    contentsOf: "\n#\(key.name) = \"\(value ?? (setting.isLength ? "10m" : setting.valueName))\"",
                    at: example.index(start, offsetBy: keys.joined(separator: "\n").count))
            }
        }
        try Data(document.utf8).write(to: URL(filePath: "\(Repository.root)/docs/configuration.md"), options: .atomic)
        try Data(example.utf8).write(to: URL(filePath: "\(Repository.root)/docs/config.example.toml"), options: .atomic)
    }

    @Test func theExampleIsValid() throws {
        let start = try #require(document.ranges(of: "```toml\n").first).upperBound
        let end = try #require(document[start...].ranges(of: "\n```").first).lowerBound
        let (configuration, warnings) = try Configuration.parse(Array(document[start..<end].utf8), file: "example")
        #expect(configuration.forwards.count == 3)
        #expect(warnings.isEmpty)
    }

    // MARK: The example file

    private static let exampleNames = [
        "[profiles.NAME]": "[profiles.production]", "[forwards.NAME]": "[forwards.bastion]",
        "[endpoints.\"eice-…\"]": "[endpoints.\"eice-0123456789abcdef0\"]",
    ]

    /// With every setting switched on: those that are commented out begin with `#` and no blank.
    private var everything: [Substring] {
        example.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("#") && line.dropFirst().first.map { $0 != " " && $0 != "#" } == true
                ? line.dropFirst() : line
        }
    }

    @Test(.enabled(if: !ConfigurationReferenceTests.isUpdating)) func theExampleFileHasEveryKeyOnceWithItsDefault()
        throws
    {
        var found: [String: [String: String]] = [:]
        var table = ""
        for line in everything where !line.hasPrefix("# ") && !line.isEmpty {
            if line.hasPrefix("[") {
                table = String(line)
                continue
            }
            let parts = line.split(separator: "=", maxSplits: 1).map { String($0.filter { $0 != " " }) }
            guard parts.count == 2 else { continue }
            #expect(found[table, default: [:]].updateValue(parts[1], forKey: parts[0]) == nil, "\(line) stands twice")
        }
        for table in ConfigurationReference.tables {
            let heading = Self.exampleNames[table.heading] ?? table.heading
            let keys = try #require(found[heading], "\(heading)")
            found[heading] = nil
            #expect(Set(keys.keys) == Set(table.keys.map(\.name)), "\(table.heading)")
            for key in table.keys where key.standard != nil {
                #expect(keys[key.name] == key.standard, "\(table.heading) \(key.name)")
            }
        }
        #expect(found.isEmpty, "tables that do not exist: \(found.keys)")
    }

    @Test func theExampleFileIsValidAsItStandsAndWithEverythingSwitchedOn() throws {
        let (asItStands, warnings) = try Configuration.parse(Array(example.utf8), file: "example")
        #expect(asItStands == Configuration(), "nothing is switched on")
        #expect(warnings.isEmpty)
        let (full, remarks) = try Configuration.parse(
            Array(everything.joined(separator: "\n").utf8), file: "example")
        #expect(full.forwards.count == 1 && full.profiles.count == 1 && full.endpoints.count == 1)
        #expect(remarks.isEmpty)
    }
}
