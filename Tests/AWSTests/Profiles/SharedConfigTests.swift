import Failures
import TestSupport
import Testing

@testable import AWS

@Suite struct SharedConfigTests {
    private func parse(_ text: String) throws -> ProfileFile { try ProfileFile(parsing: Array(text.utf8)) }

    private func text(_ file: ProfileFile, _ section: String, _ key: String) -> String? {
        if case .text(let text) = file.sections[section]?.entries[key]?.value { return text }
        return nil
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let file: String
        let value: String?
        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "equals", file: "[s]\nk = v", value: "v"),
        Case(name: "colon", file: "[s]\nk: v", value: "v"),
        Case(name: "no blanks", file: "[s]\nk=v", value: "v"),
        Case(name: "equals inside", file: "[s]\nk=a=b:c", value: "a=b:c"),
        Case(name: "capital key", file: "[s]\nK = v", value: "v"),
        Case(name: "comment lines", file: "# a\n[s]\n; b\nk = v\n# c", value: "v"),
        Case(name: "inline comments are values", file: "[s]\nk = v # c", value: "v # c"),
        Case(name: "trailing blanks", file: "[s]\nk = v  \t", value: "v"),
        Case(name: "continuation", file: "[s]\nk = a\n  b\n\n  c\n", value: "a\nb\n\nc"),
        Case(name: "comment in a continuation", file: "[s]\nk = a\n  # x\n  b", value: "a\nb"),
        Case(name: "indented section and keys", file: "  [s]\n  k = v", value: "v"),
        Case(name: "less indented key ends a value", file: "[s]\n   j = 1\n  k = v", value: "v"),
        Case(name: "CRLF", file: "[s]\r\nk = v\r\n", value: "v"),
        Case(name: "lone CR", file: "[s]\rk = v\r", value: "v"),
        Case(name: "byte order mark", file: "\u{FEFF}[s]\nk = v", value: "v"),
        Case(name: "unicode", file: "[s]\nk = grün ☂", value: "grün ☂"),
        Case(name: "empty value", file: "[s]\nk =", value: ""),
        Case(name: "text after a header", file: "[s] # note\nk = v", value: "v"),
        Case(name: "defaults", file: "[DEFAULT]\nk = d\n[s]\nj = 1", value: "d"),
        Case(name: "defaults are overridden", file: "[DEFAULT]\nk = d\n[s]\nk = v", value: "v"),
        Case(name: "absent", file: "[s]\nj = v", value: nil),
    ]

    @Test(arguments: cases) func valuesAreReadAsTheAWSCLIReadsThem(_ example: Case) throws {
        #expect(text(try parse(example.file), "s", "k") == example.value)
    }

    @Test func nestedBlocksBecomePairs() throws {
        let file = try parse("[s]\ns3 =\n  a = 1\n\n  b=2\nk = v")
        #expect(file.sections["s"]?.entries["s3"]?.value == .nested(["a": "1", "b": "2"]))
        #expect(text(file, "s", "k") == "v")
    }

    @Test(arguments: [
        ("k = v", 1, "section"),
        ("[s]\nk = v\n[s]", 3, "second time (first on line 1)"),
        ("[s]\nk = v\nK = w", 3, "a second time in [s] (first on line 2)"),
        ("[s]\nk = v\nrubbish", 3, "name = value"),
        ("[s]\n\nrubbish\nk = v", 3, "name = value"),
        ("[s]\n= v", 2, "name is expected"),
        ("[]\nk = v", 1, "section"),
        ("[s]\nn =\n  a = 1\n  rubbish", 4, "indented block"),
        ("[s]\r\nk = v\r\nrubbish", 3, "name = value"),
    ])
    func malformedFilesNameTheirLine(file: String, line: Int, reason: String) throws {
        let error: ProfileFile.Malformation
        do { error = try #require(try parse(file).problems.first) } catch let thrown as ProfileFile.Malformation {
            error = thrown
        }
        #expect(error.line == line)
        #expect(error.reason.contains(reason))
    }

    @Test func textThatIsNotUTF8IsRefusedWithItsLine() throws {
        let file = try ProfileFile(parsing: Array("[s]\nk = ".utf8) + [0xFF, 0xFE] + Array("\n[t]\nk = v".utf8))
        #expect(file.sections["s"]?.problem?.line == 2)
        #expect(file.sections["t"]?.problem == nil)
        do {
            _ = try ProfileFile(parsing: [0x23, 0xFF] + Array("\n[s]\nk = v".utf8))
            Issue.record("no error")
        } catch {
            #expect(error.line == 1)
        }
    }

    @Test(arguments: [
        ("rubbish", 2), ("k = 1\nk = 2", 3), ("= v", 2), ("n =\n  a", 3), ("[profile good]\n[profile bad]", 3),
    ])
    func aMistakeCostsItsSectionAlone(text: String, line: Int) throws {
        let (_, shared) = try withAMistake(text, line: line)
        let failure = #expect(throws: Failure.self) { try shared.profile("bad") }
        #expect(failure?.kind == .malformedFile)
        #expect(failure?.what == "/c:\(line)")
        #expect(failure?.hint?.contains("line \(line)") == true)
    }

    @Test(
        "a mistake in a section that is no profile does not make a profile unusable",
        arguments: ["sso-session", "services"])
    func aMistakeInASectionThatIsNoProfile(kind: String) throws {
        let (file, shared) = try withAMistake("[\(kind) s]\nrubbish", line: 3)
        #expect(file.sections["\(kind) s"]?.problem?.line == 3)
        #expect(try shared.profile("bad").settings.isEmpty)
        let section = try #require(kind == "services" ? shared.services["s"] : shared.ssoSessions["s"])
        #expect(#expect(throws: Failure.self) { try section.usable() }?.what == "/c:3")
    }

    /// Files whose profile `bad` is followed by a mistake, and other profiles that must not suffer from it.
    private func withAMistake(_ text: String, line: Int) throws -> (ProfileFile, SharedConfig) {
        let file = try parse("[profile bad]\n\(text)\n[profile other]\nregion = x\nsso_session = s\nservices = v\n")
        let shared = SharedConfig(
            config: file, configPath: "/c", credentials: try parse("[late]\nregion = y\n"), credentialsPath: "/k")
        #expect(try shared.profile("other")["region"] == "x")
        #expect(try shared.profile("late")["region"] == "y")
        #expect(file.problems.map(\.line) == [line])
        return (file, shared)
    }

    @Test func aMistakeInOneFileCostsTheProfileThoughTheOtherIsRight() throws {
        let right = try parse("[a]\naws_access_key_id = K\naws_secret_access_key = S\n[b]\nregion = y")
        let wrong = try parse("[profile a]\nrubbish\n[profile b]\nregion = x")
        let shared = SharedConfig(config: wrong, configPath: "/c", credentials: right, credentialsPath: "/k")
        #expect(throws: Failure.self) { try shared.profile("a") }
        #expect(try shared.profile("b")["region"] == "y")
        let turned = SharedConfig(
            config: try parse("[profile a]\nregion = x"), configPath: "/c", credentials: try parse("[a]\nrubbish"),
            credentialsPath: "/k")
        #expect(#expect(throws: Failure.self) { try turned.profile("a") }?.what == "/k:2")
    }

    @Test func aHeaderWithATypingErrorIsToldToWhoeverMissesItsProfile() throws {
        let shared = SharedConfig(
            config: try parse("[profile a]\nregion = x\n[profile b\nregion = y"), configPath: "/c", credentials: nil,
            credentialsPath: "/k")
        let failure = #expect(throws: Failure.self) { try shared.profile("b") }
        #expect(failure?.kind == .unknownProfile)
        #expect(failure?.why.contains("/c:3") == true)
    }

    @Test func whatConcernsAllSectionsIsThrown() throws {
        for text in ["[DEFAULT]\nrubbish\n[s]", "k = v\n[s]", "[DEFAULT]\nk =\n  a\n[s]\n"] {
            #expect(throws: ProfileFile.Malformation.self) { try parse(text) }
        }
    }

    @Test func bothFilesAreMergedKeyByKey() throws {
        let config = try parse(
            """
            [default]
            region = eu-west-1
            [profile dev]
            region = us-east-1
            aws_access_key_id = FROMCONFIG
            [profile "my team"]
            region = x
            [dev2]
            region = ignored
            [sso-session corp]
            sso_region = eu-west-1
            [services local]
            ec2 =
              endpoint_url = http://localhost
            """)
        let credentials = try parse("[dev]\naws_access_key_id = KEY\naws_secret_access_key = S\n[extra]\nregion = y")
        let shared = SharedConfig(config: config, configPath: "/c", credentials: credentials, credentialsPath: "/k")
        #expect(shared.profiles.keys.sorted() == ["default", "dev", "extra", "my team"])
        let dev = try shared.profile("dev")
        #expect(dev["aws_access_key_id"] == "KEY")
        #expect(dev["region"] == "us-east-1")
        #expect(dev.place(of: "aws_access_key_id") == "/k:2")
        #expect(shared.ssoSessions["corp"]?["sso_region"] == "eu-west-1")
        #expect(shared.services["local"]?.settings["ec2"]?.nested == ["endpoint_url": "http://localhost"])
    }

    @Test func anUnknownProfileNamesTheFilesAndWhatThereIs() throws {
        let shared = SharedConfig(
            config: try parse("[profile dev]\nregion = x"), configPath: "/home/ann/.aws/config", credentials: nil,
            credentialsPath: "/home/ann/.aws/credentials")
        let failure = #expect(throws: Failure.self) { try shared.profile("prod") }
        #expect(failure?.kind == .unknownProfile)
        #expect(failure?.why.contains("/home/ann/.aws/config") == true)
        #expect(failure?.why.contains("/home/ann/.aws/credentials") == true)
        #expect(failure?.hint?.contains("dev") == true)
        #expect(try shared.profile("default").settings.isEmpty)
    }

    @Test func aChangedFileIsSeenAtTheNextUse() async throws {
        let folder = try TemporaryDirectory()
        let environment = Environment([
            "AWS_CONFIG_FILE": folder("config"), "AWS_SHARED_CREDENTIALS_FILE": folder("credentials"),
        ])
        let files = SharedConfigFiles(environment: environment)
        #expect(try await files.load().profiles.isEmpty)
        try folder.write("config", "[default]\nregion = a")
        let (first, generation) = try await files.loadWithGeneration()
        #expect(first.profiles["default"]?["region"] == "a")
        #expect(try await files.loadWithGeneration().generation == generation)
        try folder.write("config", "[default]\nregion = ab")
        #expect(try await files.load().profiles["default"]?["region"] == "ab")
        try folder.write("config", "[default\n")
        let failure = await #expect(throws: Failure.self) { try await files.load() }
        #expect(failure?.kind == .malformedFile)
        #expect(failure?.what == "\(folder("config")):1")
    }

    @Test func pathsExpandTildeAndVariables() {
        let environment = Environment(["HOME": "/home/ann", "X": "y"])
        #expect(environment.expand(path: "~/.aws/config") == "/home/ann/.aws/config")
        #expect(environment.expand(path: "$HOME/${X}/$NONE/~") == "/home/ann/y/$NONE/~")
        #expect(environment.expand(path: "/a$") == "/a$")
        #expect(SharedConfigFiles(environment: environment).configPath == "/home/ann/.aws/config")
    }

    @Test(
        arguments: [
            ("profile dev", ["profile", "dev"]), ("profile \"my team\"", ["profile", "my team"]),
            ("a 'b c'd  e", ["a", "b cd", "e"]), ("a\\ b", ["a b"]), ("\"a\\\"b\\n\"", ["a\"b\\n"]), ("''", [""]),
            ("", []),
        ] as [(String, [String])])
    func wordsAreSplitAsAShellDoes(line: String, words: [String]) { #expect(ShellWords.split(line) == words) }

    @Test func unbalancedQuotesAreNoWords() {
        #expect(ShellWords.split("a 'b") == nil)
        #expect(ShellWords.split("a\\") == nil)
    }
}
