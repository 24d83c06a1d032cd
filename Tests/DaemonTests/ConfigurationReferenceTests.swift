import FoundationEssentials
import Testing

@testable import Daemon

@Suite struct ConfigurationReferenceTests {
    private let document: String

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        document = String(
            decoding: try Data(contentsOf: root.appending(path: "docs/configuration.md")), as: UTF8.self)
    }

    private func section(_ heading: String) -> String? {
        guard let range = document.ranges(of: "\n## `\(heading)`\n").first else { return nil }
        let rest = document[range.upperBound...]
        return String(rest[..<(rest.ranges(of: "\n## ").first?.lowerBound ?? rest.endIndex)])
    }

    @Test func everyKeyIsDocumentedWithWhatItTakesAndItsDefault() throws {
        for table in ConfigurationReference.tables {
            let text = try #require(section(table.heading), "\(table.heading) has no section")
            let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
            for row in table.rows where !rows.contains(where: { $0.hasPrefix(row + " ") && $0.count > row.count + 6 }) {
                Issue.record("docs/configuration.md has no row in \(table.heading) that begins: \(row)")
            }
            #expect(rows.count == table.rows.count, "\(table.heading) documents keys that do not exist")
        }
    }

    @Test func theExampleIsValid() throws {
        let start = try #require(document.ranges(of: "```toml\n").first).upperBound
        let end = try #require(document[start...].ranges(of: "\n```").first).lowerBound
        let (configuration, warnings) = try Configuration.parse(Array(document[start..<end].utf8), file: "example")
        #expect(configuration.forwards.count == 3)
        #expect(warnings.isEmpty)
    }
}
