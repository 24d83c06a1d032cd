import Basics
import Failures
import Glibc
import Logging
import TestSupport
import Testing

@testable import AWS

/// `credential_process`, container and metadata services that answer wrongly.
@Suite struct HelperSourcesTests {
    private func failure(_ script: String, timeout: Duration = .seconds(30)) async throws -> Failure {
        let house = try Household()
        let path = try house.home.write("helper.sh", script)
        try house.config("[profile p]\ncredential_process = /bin/sh \(path) 'an argument'")
        let chain = house.chain(sources: [ProcessCredentials(timeout: timeout)])
        return try #require(await #expect(throws: Failure.self) { try await chain.credentials(profile: "p") })
    }

    @Test(arguments: [
        ("echo SECRETRUBBISH", "no JSON"),
        ("exit 1", "exit status 1"),
        ("echo 'log in first' >&2; exit 2", "exit status 2: log in first"),
        ("kill -9 $$", "killed"),
        ("echo '{}'", "Version"),
        (#"echo '{"Version": 2, "AccessKeyId": "SECRET"}'"#, "\"Version\": 1; 2 was found"),
        (#"echo '{"Version": 1, "AccessKeyId": "SECRET"}'"#, "SecretAccessKey"),
        (#"echo '{"Version": 1, "SecretAccessKey": "SECRET"}'"#, "AccessKeyId"),
        (
            #"echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "SECRET", "Expiration": "soon"}'"#,
            "Expiration"
        ),
        ("head -c 10000000 /dev/zero", "more than 64 KiB"),
        ("", "no JSON"),
    ])
    func badHelpersAreNamedAndNothingTheyPrintIsShown(script: String, text: String) async throws {
        let failure = try await failure(script)
        #expect(failure.kind == .helperFailed)
        #expect(failure.sentence.contains(text), "\(failure)")
        #expect(failure.sentence.contains("credential_process of profile p"))
        #expect(!"\(failure)".contains("SECRET"))
    }

    @Test func aHelperThatHangsIsKilledWithItsChildren() async throws {
        let folder = try TemporaryDirectory()
        let failure = try await failure("sleep 600 & echo $! > \(folder("child")); wait", timeout: .seconds(2))
        #expect(failure.kind == .helperFailed)
        #expect(failure.sentence.contains("killed"))
        let child = try #require(contents(of: folder("child")).flatMap { Int32($0.trimmingWhitespace()) })
        try await eventually("the helper's child is gone") { kill(child, 0) != 0 }
    }

    @Test func aChildLeftBehindIsNotWaitedFor() async throws {
        let house = try Household()
        let path = try house.home.write(
            "helper.sh",
            #"sleep 600 & echo $! > "$HOME/child"; echo '{"Version":1,"AccessKeyId":"AKIAHELPER","SecretAccessKey":"s"}'"#
        )
        try house.config("[profile p]\ncredential_process = /bin/sh \(path)")
        #expect(try await house.chain().credentials(profile: "p").accessKeyID == "AKIAHELPER")
        let child = try #require(contents(of: house.home("child")).flatMap { Int32($0.trimmingWhitespace()) })
        // It still runs, holding the helper's output open, and is not ours to kill.
        #expect(kill(child, SIGKILL) == 0)
    }

    @Test func helpersAreRunWithoutAShellAndWithTheEnvironment() async throws {
        let house = try Household()
        let path = try house.home.write(
            "my helper.sh",
            #"printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s"}' "$1-$PLANTED" "$(cat)""#)
        try house.config("[profile p]\ncredential_process = sh \"\(path)\" '$HOME;x'")
        let failure = await #expect(throws: Failure.self) {
            try await house.chain(["PLANTED": "v"]).credentials(profile: "p")
        }
        // Standard input is empty, so the secret is: and an empty secret is none.
        #expect(failure?.sentence.contains("SecretAccessKey") == true)
        try house.home.write(
            "my helper.sh", #"printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"s"}' "$1-$PLANTED""#)
        #expect(try await house.chain(["PLANTED": "v"]).credentials(profile: "p").accessKeyID == "$HOME;x-v")
    }

    @Test func helpersDoNotSpeakForTheDaemonToTheServiceManager() async throws {
        let house = try Household()
        let path = try house.home.write(
            "helper.sh",
            #"printf '{"Version":1,"AccessKeyId":"A%s","SecretAccessKey":"s"}' "$NOTIFY_SOCKET$LISTEN_FDS$WATCHDOG_USEC$KEPT""#
        )
        try house.config("[profile p]\ncredential_process = /bin/sh \(path)")
        let variables = ["NOTIFY_SOCKET": "/n", "LISTEN_FDS": "1", "WATCHDOG_USEC": "9", "KEPT": "kept"]
        #expect(try await house.chain(variables).credentials(profile: "p").accessKeyID == "Akept")
    }

    @Test func aHelperThatCannotBeStartedIsNamed() async throws {
        let house = try Household()
        try house.config(
            "[profile p]\ncredential_process = /nonexistent/helper --x\n[profile q]\ncredential_process = 'a")
        let failure = try await house.failure("p")
        #expect(failure.kind == .helperFailed)
        #expect(failure.why == "/nonexistent/helper: No such file or directory")
        let quoted = try await house.failure("q")
        #expect(quoted.kind == .malformedFile)
        #expect(quoted.what == "\(house.home(".aws/config")):4")
    }

    @Test(arguments: [
        ("http://127.0.0.1/x", true), ("http://localhost:1/", true), ("http://[::1]/", true),
        ("http://169.254.170.2/", true), ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1", true),
        ("https://example.com/a?b=c", true), ("http://example.com/", false), ("http://169.254.169.254/", false),
        ("http://127.0.0.1.evil.com/", false), ("ftp://localhost/", false), ("http://user@localhost/", false),
        ("", false),
    ])
    func containerTokensStayOnThisMachineWithoutTLS(url: String, isAllowed: Bool) {
        if isAllowed {
            #expect(throws: Never.self) { try ContainerCredentials.check(url) }
        } else {
            #expect(throws: Failure.self) { try ContainerCredentials.check(url) }
        }
    }

    @Test func theContainersTokenIsSentFromItsFile() async throws {
        let house = try Household()
        let path = try house.home.write("token", "Basic abc")
        let variables = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/creds",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "other", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path,
        ]
        _ = try await house.chain(variables).credentials(profile: nil)
        #expect(try #require(house.services.stub.requests.first).header("authorization") == "Basic abc")
        try house.home.write("token", "Basic abc\nX-Evil: 1")
        #expect(try await house.failure(nil, variables).kind == .configuration)
    }

    /// It is a service of this machine: nothing that a later try would find better, as with one across a network.
    @Test(arguments: [nil, 401, 404, 429, 500] as [Int?])
    func aContainersServiceThatFailsOrHangsIsNamed(status: Int?) async throws {
        let house = try Household()
        let stub = try HTTPStub { _ in status.map { .init($0, #"{"message":"no role"}"#) } ?? .silence }
        let failure = try await house.failure(nil, ["AWS_CONTAINER_CREDENTIALS_FULL_URI": stub.url])
        #expect(failure.kind == .helperFailed, "\(failure)")
        #expect(failure.what.contains("get the container's credentials"))
    }

    @Test(arguments: [
        (404, 200, Failure.Kind.noCredentials), (403, 200, .noCredentials), (401, 200, .helperFailed),
        (500, 200, .helperFailed),
        (200, 404, .noCredentials), (200, 500, .helperFailed), (200, 401, .helperFailed),
    ])
    func metadataStatusesAreToldApart(token: Int, role: Int, kind: Failure.Kind) async throws {
        let house = try Household()
        let stub = try HTTPStub { $0.method == "PUT" ? .init(token, "v2") : .init(role, "x") }
        let failure = try await house.failure(
            nil, ["AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false"])
        #expect(failure.kind == kind, "\(failure)")
        #expect(failure.why.contains("127.0.0.1:\(stub.port)"))
    }

    @Test func metadataThatNobodyServesCostsASecond() async throws {
        let house = try Household()
        let stub = try HTTPStub { _ in .silence }
        let failure = try await house.failure(
            nil, ["AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false"])
        #expect(failure.kind == .noCredentials)
        #expect(failure.why.contains("hop limit"))
        #expect(stub.requests.count == 1)
    }

    @Test("a page in the metadata service's place gives no role and no region", arguments: [true, false])
    func pageInsteadOfMetadata(token: Bool) async throws {
        let house = try Household()
        let stub = try HTTPStub { request in
            request.method == "PUT" && token
                ? .init(200, "v2") : .init(200, "<html>\n<body>Sign in to the network</body></html>")
        }
        let variables = [
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_METADATA_SERVICE_TIMEOUT": "60",
        ]
        let failure = try await house.failure(nil, variables)
        #expect(failure.kind == .helperFailed)
        #expect(failure.why.contains(token ? "not a role" : "no token"), "\(failure)")
        let context = AWSContext(environment: house.variables(variables), logger: Logger(label: "test"))
        let region = await #expect(throws: Failure.self) { try await context.region(named: nil, profile: nil) }
        #expect(region?.what == "no region is set for profile default")
    }

    @Test func aMetadataErrorInsideA200IsShown() async throws {
        let house = try Household()
        let stub = try HTTPStub { request in
            request.target.hasSuffix("/role")
                ? .init(200, #"{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role"}"#)
                : .init(200, "role")
        }
        let failure = try await house.failure(
            nil, ["AWS_EC2_METADATA_SERVICE_ENDPOINT": stub.url, "AWS_EC2_METADATA_DISABLED": "false"])
        #expect(failure.kind == .helperFailed)
        #expect(failure.why.contains("EC2 cannot assume the role"))
    }
}
