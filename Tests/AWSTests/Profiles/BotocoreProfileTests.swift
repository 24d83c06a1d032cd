import FoundationEssentials
import TestSupport
import Testing

@testable import AWS

/// Our reading of profile files against botocore's, case by case.
@Suite struct BotocoreProfileTests {
    typealias Sections = [String: [String: Value]]

    enum Value: Codable, Hashable {
        case text(String)
        case nested([String: String])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else {
                self = .nested(try container.decode([String: String].self))
            }
        }

        func encode(to encoder: any Encoder) throws {}
    }

    struct Parsed: Codable, Hashable {
        var profiles: Sections
        var sso: Sections
        var services: Sections
    }

    /// Nil where the files are malformed.
    private func ours(_ example: ProfileCase) -> Parsed? {
        do {
            let file = try ProfileFile(parsing: Array(example.config.utf8))
            let keys = try example.credentials.map { try ProfileFile(parsing: Array($0.utf8)) }
            // Where botocore refuses the files, we refuse the sections that have a mistake.
            guard file.problems.isEmpty, keys?.problems.isEmpty ?? true else { return nil }
            let config = SharedConfig(config: file, configPath: "/c", credentials: keys, credentialsPath: "/k")
            return Parsed(
                profiles: sections(config.profiles), sso: sections(config.ssoSessions),
                services: sections(config.services))
        } catch {
            return nil
        }
    }

    private func sections(_ sections: [String: SharedConfig.Section]) -> Sections {
        sections.mapValues { section in
            section.settings.mapValues { setting in
                switch setting.value {
                case .text(let text): .text(text)
                case .nested(let pairs): .nested(pairs)
                }
            }
        }
    }

    @Test func thereAreEnoughCases() { #expect(ProfileCase.all.count >= 60) }

    @Test(arguments: ProfileCase.all) func eachCaseEqualsTheRecordedResult(_ example: ProfileCase) throws {
        let expected = try example.expected.map { try JSONDecoder().decode(Parsed.self, from: Data($0.utf8)) }
        #expect(ours(example) == expected)
    }

    private static let script = """
        import json, os, sys
        import botocore.session, botocore.exceptions
        for number in range(int(sys.argv[2])):
            folder = os.path.join(sys.argv[1], str(number))
            os.environ["AWS_CONFIG_FILE"] = os.path.join(folder, "config")
            os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.path.join(folder, "credentials")
            try:
                full = botocore.session.Session().full_config
                print(json.dumps({"profiles": full["profiles"], "sso": full.get("sso_sessions", {}),
                                  "services": full.get("services", {})}))
            except botocore.exceptions.ConfigParseError:
                print("null")
        """

    @Test(.enabled("python3 with botocore is not installed here") { try await Python.has("botocore.session") })
    func allCasesEqualWhatTheInstalledBotocoreReads() async throws {
        let folder = try TemporaryDirectory()
        for (number, example) in ProfileCase.all.enumerated() {
            try folder.makeDirectory("\(number)")
            try folder.write("\(number)/config", example.config)
            if let credentials = example.credentials { try folder.write("\(number)/credentials", credentials) }
        }
        let script = try folder.write("read.py", Self.script)
        let output = try await Python.run(script, folder.path, "\(ProfileCase.all.count)")
        let lines = output.split(separator: "\n")
        try #require(lines.count == ProfileCase.all.count)
        for (example, line) in zip(ProfileCase.all, lines) {
            let theirs = try JSONDecoder().decode(Parsed?.self, from: Data(line.utf8))
            #expect(ours(example) == theirs, "\(example.name)")
        }
    }
}
