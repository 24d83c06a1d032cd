import TestSupport
import Testing

/// Credentials that are missing, wrong, or somebody else's.
@Suite struct CredentialTests {
    private static let noKeys = ["AWS_ACCESS_KEY_ID": String?.none, "AWS_SECRET_ACCESS_KEY": nil]

    @Test func noCredentialsAre78AndSayWhereTheyWereLookedFor() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port, environment: Self.noKeys) { scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(result.code == 78, "\(result)")
            #expect(result.errors.contains("hint:"), "\(result)")
            #expect(result.errors.lowercased().contains("credentials"), "\(result)")
        }
    }

    @Test func anUnknownProfileIs78AndNamed() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio", "--profile", "nobody")
            #expect(result.code == 78, "\(result)")
            #expect(result.errors.contains("nobody"), "\(result)")
        }
    }

    @Test func aMalformedFileIs78WithFileAndLine() async throws {
        let echo = try LoopbackServer.echo()
        let folder = try TemporaryDirectory("aws")
        let file = try folder.write("credentials", "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\nnonsense\n")
        let environment = Self.noKeys.merging(["AWS_SHARED_CREDENTIALS_FILE": file]) { $1 }
        try await Scene.play(port: echo.port, environment: environment) { scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(result.code == 78, "\(result)")
            #expect(result.errors.contains("\(file)") && result.errors.contains("3"), "\(result)")
        }
    }

    @Test func theWrongSecretIsRefusedByTheServiceAndNotShown() async throws {
        let echo = try LoopbackServer.echo()
        let secret = "plantedSecretThatMustNotBeShown/0123456789"
        try await Scene.play(port: echo.port, environment: ["AWS_SECRET_ACCESS_KEY": secret]) { scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(result.code == 77, "\(result)")
            #expect(!result.errors.contains(secret))
            #expect(!scene.daemon.log.contains(secret))
            #expect(!scene.daemon.log.contains("X-Amz-Signature"), "a presigned URL is a secret for a minute")
        }
    }

    @Test func secretsOfTheCallerThatTheDaemonDoesNotHaveAreNeverReplacedByOthers() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let mine = ["AWS_ACCESS_KEY_ID": "AKIAI44QH8DHBEXAMPLE", "AWS_SECRET_ACCESS_KEY": "neverSentAnywhere"]
            for arguments in [["add", Scene.web, "22"], ["proxy", Scene.web, "22", "--stdio"]] {
                let command = try scene.daemon.startEicectl(arguments, environment: mine)
                let result = try await command.result(of: arguments.joined(separator: " "))
                #expect(result.code == 78, "\(result)")
                #expect(result.errors.contains("--profile"), "the way out: \(result)")
                #expect(!result.errors.contains("AKIAI44QH8DHBEXAMPLE"), "the id is shortened: \(result)")
            }
            #expect(try await scene.daemon.forwards().isEmpty)
            #expect(echo.acceptedCount == 0)
        }
    }

    @Test func whoNamesAProfileMayHaveOtherKeysInTheEnvironment() async throws {
        let greeter = try LoopbackServer.greeter()
        let folder = try TemporaryDirectory("aws")
        let files: [String: String?] = ["AWS_SHARED_CREDENTIALS_FILE": folder("credentials")]
        try await Scene.play(port: greeter.port, environment: files) { scene in
            let secrets = scene.emulator.environment
            try folder.write(
                "credentials",
                """
                [work]
                aws_access_key_id = \(secrets["AWS_ACCESS_KEY_ID"] ?? "")
                aws_secret_access_key = \(secrets["AWS_SECRET_ACCESS_KEY"] ?? "")
                """)
            let result = try await scene.daemon.eicectl(
                "proxy", Scene.web, "22", "--stdio", "--profile", "work",
                environment: ["AWS_ACCESS_KEY_ID": "AKIAI44QH8DHBEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"])
            #expect(result.code == 0, "\(result)")
        }
    }
}
