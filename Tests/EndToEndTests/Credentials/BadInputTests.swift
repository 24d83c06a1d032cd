import Glibc
import TestSupport
import Testing

/// What people and their tools get wrong about credentials: one sentence with the file, line or source, the exit code of its kind, and
/// nobody else harmed.
@Suite struct BadInputTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        /// Lines of the config file; `HOME` stands for the person's folder.
        var config = ""
        var code: Int32 = 78
        /// What the sentence must have.
        let words: [String]
        var profile = "bad"
        var testDescription: String { name }
    }

    private static let helper = "[profile bad]\ncredential_process = /bin/sh HOME/"

    static let cases = [
        Case(name: "a line that is no setting", config: "[profile bad]\nrubbish", words: ["HOME/.aws/config:2"]),
        Case(
            name: "a section twice", config: "[profile bad]\nregion = x\n[profile bad]\nregion = y",
            words: ["HOME/.aws/config:3", "second time"]),
        Case(
            name: "a key twice", config: "[profile bad]\nregion = x\nregion = y",
            words: ["HOME/.aws/config:3", "region"]),
        Case(
            name: "an unknown profile", config: "[profile good]\nregion = x", words: ["bad", "good"]),
        Case(
            name: "a header with a typing error", config: "[profile other]\nregion = x\n[profile bad\nregion = y",
            words: ["bad", "HOME/.aws/config:3"]),
        Case(
            name: "a cycle",
            config: "[profile bad]\nrole_arn = a\nsource_profile = b\n[profile b]\nrole_arn = b\nsource_profile = bad",
            words: ["bad → b → bad", "HOME/.aws/config:"]),
        Case(
            name: "a source profile with a mistake",
            config: "[profile bad]\nrole_arn = a\nsource_profile = b\n[profile b]\nrubbish",
            words: ["HOME/.aws/config:5"]),
        Case(
            name: "an sso-session with a mistake",
            config: "[profile bad]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nrubbish",
            words: ["HOME/.aws/config:6"]),
        Case(
            name: "a helper that prints rubbish", config: helper + "rubbish.sh",
            words: ["no JSON", "HOME/.aws/config:2"]),
        Case(
            name: "a helper that fails", config: helper + "fails.sh",
            words: ["exit status 1", "HOME/.aws/config:2", "no luck"]),
        Case(
            name: "a helper that prints 10 MB", config: helper + "floods.sh", words: ["64 KiB", "HOME/.aws/config:2"]),
        Case(
            name: "a helper that is not there", config: helper + "nowhere.sh",
            words: ["exit status", "HOME/.aws/config:2"]),
        Case(
            name: "a helper that hangs", config: helper + "hangs.sh",
            words: ["credential_process", "profile bad"]),
        Case(
            name: "a token cache that is half-written",
            config:
                "[profile bad]\nsso_account_id = 1\nsso_role_name = r\nsso_region = eu-west-1\nsso_start_url = https://legacy.example",
            code: 77, words: ["aws sso login --profile bad", "HOME/.aws/sso/cache/"]),
        Case(
            name: "a web identity token that is missing",
            config: "[profile bad]\nrole_arn = a\nweb_identity_token_file = HOME/none", words: ["HOME/none"]),
        Case(
            name: "a role that needs a code",
            config: "[profile bad]\nrole_arn = a\nmfa_serial = m\nsource_profile = keys", code: 77,
            words: ["MFA", "aws sts get-caller-identity --profile bad"]),
        Case(
            name: "aws login without its cache", config: "[profile bad]\nlogin_session = arn:aws:iam::1:user/a",
            code: 78, words: ["aws login", "bad"]),
        Case(
            name: "an endpoint that is no URL",
            config: "[profile bad]\nendpoint_url = nonsense\nrole_arn = a\nsource_profile = keys",
            words: ["HOME/.aws/config:2"]),
    ]

    private static func prepare(_ person: IdentityScene, _ example: Case, _ keys: [String: String]) throws {
        try person.moveIn(with: keys)
        try person.home.write(".aws/config", place(example.config, person))
        try person.home.write("rubbish.sh", "echo rubbish")
        try person.home.write("fails.sh", "echo no luck >&2; exit 1")
        try person.home.write("floods.sh", "head -c 10000000 /dev/zero")
        try person.home.write("hangs.sh", "sleep 600")
        try person.home.write(
            ".aws/sso/cache/2a658bdd28256db3a272b687d6bad2cd81a72c31.json", #"{"accessToken":"half"#)
    }

    private static func place(_ text: String, _ person: IdentityScene) -> String {
        text.replacing("HOME", with: person.home.path)
    }

    @Test func eachMistakeHasItsSentenceAndHarmsNobodyElse() async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        var environment = person.environment
        // These would answer for a profile that says nothing.
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = .some(nil)
        environment["AWS_ENDPOINT_URL_STS"] = .some(nil)
        try await Scene.play(
            port: greeter.port, emulator: ["--session-token"], environment: environment,
            timeouts: ["resolve": Scene.limit(5)]
        ) { scene in
            for example in Self.cases {
                try Self.prepare(person, example, scene.emulator.environment)
                // A connection would wait for the person; who adds a forward is told.
                let command =
                    example.code == 77 ? ["add", Scene.web, "22"] : ["proxy", Scene.web, "22", "--stdio"]
                let result = try await scene.daemon.startEicectl(command + ["--profile", example.profile])
                    .result(of: example.name)
                #expect(result.code == example.code, "\(example.name): \(result)")
                for word in example.words {
                    let word = Self.place(word, person)
                    #expect(result.errors.contains(word), "\(example.name): \(word) is missing in \(result)")
                }
                let lines = result.errors.split(separator: "\n")
                #expect(lines.filter { $0.contains("error:") }.count == 1, "\(example.name): \(result)")
                #expect(!result.errors.contains("half\""), "\(example.name): \(result)")
                let other = try await scene.daemon.eicectl(
                    "proxy", Scene.web, "22", "--stdio", "--profile", "keys")
                #expect(other.code == 0, "\(example.name): \(other)")
            }
        }
    }

    @Test("a config file of more than 4 MiB works, and a mistyped profile is told in a few lines")
    func largeConfig() async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        try await Scene.play(port: greeter.port, emulator: ["--session-token"], environment: person.environment) {
            scene in
            try person.moveIn(with: scene.emulator.environment)
            let profiles = (0..<40_000).map { number in
                "[profile account-\(number).AdministratorAccess]\nsso_session = corp\nsso_account_id = 123456789012\n"
                    + "sso_role_name = AdministratorAccess\nregion = eu-west-1\n"
            }
            try person.home.write(".aws/config", profiles.joined())
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "keys")
            #expect(result.code == 0, "\(result)")
            let wrong = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "kyes")
            #expect(wrong.code == 78 && wrong.errors.utf8.count < 1_000, "\(wrong.errors.prefix(2_000))")
        }
    }

    @Test func aFileThatCannotBeReadIsNamed() async throws {
        let greeter = try LoopbackServer.greeter()
        let person = try IdentityScene()
        try await Scene.play(port: greeter.port, emulator: ["--session-token"], environment: person.environment) {
            scene in
            try person.moveIn(with: scene.emulator.environment)
            // A link to itself, since to root every file is readable.
            let path = person.home(".aws/config")
            unlink(path)
            try #require(symlink(path, path) == 0)
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "keys")
            #expect(result.code == 78 && result.errors.contains(path), "\(result)")
            unlink(path)
            try person.moveIn(with: scene.emulator.environment)
            let again = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "keys")
            #expect(again.code == 0, "\(again)")
        }
    }

    /// Status of the token's and of the role's request, and what comes of it. Silence is told after a second.
    @Test(arguments: [(401, 200), (500, 200), (404, 200), (200, 401), (200, 404), (200, 500), (0, 0)])
    func aMetadataServiceThatFailsIsNamed(token: Int, role: Int) async throws {
        let greeter = try LoopbackServer.greeter()
        let service = try HTTPStub { request in
            let status = request.method == "PUT" ? token : role
            return status == 0 ? .silence : .init(status, "x")
        }
        let person = try IdentityScene()
        var environment = person.environment
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = .some(nil)
        environment["AWS_EC2_METADATA_DISABLED"] = "false"
        environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = service.url
        try await Scene.play(port: greeter.port, emulator: ["--session-token"], environment: environment) { scene in
            try person.moveIn(with: scene.emulator.environment)
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(result.code == 78, "\(result)")
            #expect(result.errors.contains("127.0.0.1:\(service.port)"), "\(result)")
            let other = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "keys")
            #expect(other.code == 0, "\(other)")
        }
    }
}
