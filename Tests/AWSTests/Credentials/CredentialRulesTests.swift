import Failures
import Logging
import TestSupport
import Testing

@testable import AWS

/// Rules of single sources.
@Suite struct CredentialRulesTests {
    private let house: Household

    init() throws { house = try Household() }

    // MARK: Variables and files

    @Test("the old name of the session token counts where the new one is not set")
    func oldNames() async throws {
        let keys = ["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SECURITY_TOKEN": "old"]
        #expect(try await house.chain(keys).credentials(profile: nil).sessionToken == "old")
        let both = keys.merging(["AWS_SESSION_TOKEN": "new"]) { $1 }
        #expect(try await house.chain(both).credentials(profile: nil).sessionToken == "new")
        try house.home.write(
            ".aws/credentials",
            """
            [old]
            aws_access_key_id = A
            aws_secret_access_key = s
            aws_security_token = old
            [both]
            aws_access_key_id = A
            aws_secret_access_key = s
            aws_security_token = old
            aws_session_token = new
            """)
        #expect(try await house.chain().credentials(profile: "old").sessionToken == "old")
        #expect(try await house.chain().credentials(profile: "both").sessionToken == "new")
    }

    @Test("an end of the environment's keys that is no date is named")
    func badExpiration() async throws {
        let failure = try await house.failure(
            nil,
            ["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CREDENTIAL_EXPIRATION": "soon"])
        #expect(failure.kind == .configuration && failure.what.contains("AWS_CREDENTIAL_EXPIRATION"))
    }

    @Test("beside keys in the environment a profile that only a variable names need not be there")
    func profileBesideKeys() async throws {
        let keys = ["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "none"]
        func context(_ variables: [String: String]) -> AWSContext {
            AWSContext(environment: house.variables(variables), logger: Logger(label: "test"))
        }
        #expect(try await context(keys).profile(nil).name == "default")
        await #expect(throws: Failure.self) { try await context(keys).profile("none") }
        await #expect(throws: Failure.self) { try await context(["AWS_PROFILE": "none"]).profile(nil) }
        try house.config("[profile none]\nregion = x")
        #expect(try await context(keys).profile(nil)["region"] == "x")
        #expect(try await context(["AWS_DEFAULT_PROFILE": "none"]).profile(nil)["region"] == "x")
    }

    @Test("the trust roots are those of the variable, then the profile's, then SSL_CERT_FILE")
    func trustRoots() async throws {
        try house.config("[profile p]\nca_bundle = ~/p.pem")
        func roots(_ variables: [String: String], _ profile: String?) async throws -> String? {
            try await AWSContext(environment: house.variables(variables), logger: Logger(label: "test"))
                .trustRoots(profile: profile)
        }
        let all = ["AWS_CA_BUNDLE": "$HOME/a.pem", "SSL_CERT_FILE": "/s.pem"]
        #expect(try await roots(all, "p") == house.home("a.pem"))
        #expect(try await roots(["SSL_CERT_FILE": "/s.pem"], "p") == house.home("p.pem"))
        #expect(try await roots(["SSL_CERT_FILE": "/s.pem"], nil) == "/s.pem")
        #expect(try await roots([:], nil) == nil)
    }

    // MARK: Documents

    @Test("a document's session token counts before its token, and an empty key or secret is none")
    func documents() {
        func credentials(_ text: String) -> Credentials? {
            guard let document = CredentialDocument(Array(text.utf8)),
                case .success(let credentials) = document.credentials(origin: "o", renewal: "r")
            else { return nil }
            return credentials
        }
        #expect(
            credentials(#"{"AccessKeyId":"A","SecretAccessKey":"s","SessionToken":"x","Token":"y"}"#)?.sessionToken
                == "x")
        #expect(credentials(#"{"AccessKeyId":"A","SecretAccessKey":"s","Token":"y"}"#)?.sessionToken == "y")
        #expect(credentials(#"{"AccessKeyId":"","SecretAccessKey":"s"}"#) == nil)
        #expect(credentials(#"{"AccessKeyId":"A","SecretAccessKey":""}"#) == nil)
        #expect(credentials(#"{"AccessKeyId":"A","SecretAccessKey":"s","Expiration":""}"#)?.expiration == nil)
        #expect(credentials(#"{"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"soon"}"#) == nil)
    }

    // MARK: Roles

    @Test("a role without a session name gets one that tells its time, and a duration that is no number is left out")
    func roleArguments() async throws {
        try house.config(
            """
            [profile p]
            role_arn = arn:a
            source_profile = b
            duration_seconds = long
            [profile b]
            aws_access_key_id = AKIAB
            aws_secret_access_key = s
            """)
        _ = try await house.chain().credentials(profile: "p")
        let body = try #require(house.services.stub.requests.first?.body)
        #expect(
            body
                == "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aa&RoleSessionName=eiced-\(house.services.now.secondsSinceEpoch)"
        )
    }

    @Test("cached credentials of an MFA role are used until their last second and not in it")
    func cachedRole() async throws {
        try house.config(
            "[profile a]\nrole_arn = arn:aws:iam::123456789012:role/admin\nmfa_serial = arn:aws:iam::123456789012:mfa/ann\nsource_profile = b\n[profile b]\naws_access_key_id = A\naws_secret_access_key = s"
        )
        let end = house.services.now.advanced(by: 100)
        try house.home.write(
            ".aws/cli/cache/31791e23b3216a4c8b61cf17a9b2495ad263768a.json",
            #"{"Credentials":{"AccessKeyId":"ASIAMFA","SecretAccessKey":"s","SessionToken":"t","Expiration":"\#(end)"}}"#
        )
        house.services.advance(99)
        #expect(try await house.chain().credentials(profile: "a").accessKeyID == "ASIAMFA")
        house.services.advance(1)
        #expect(try await house.failure("a").kind == .needsLogin)
    }

    @Test("a web identity without a role, and one whose token is empty, are named")
    func webIdentity() async throws {
        let path = try house.home.write("jwt", " \n")
        #expect(try await house.failure(nil, ["AWS_WEB_IDENTITY_TOKEN_FILE": path]).kind == .configuration)
        let empty = try await house.failure(nil, ["AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ROLE_ARN": "arn:w"])
        #expect(empty.kind == .noCredentials && empty.what.hasSuffix("is empty"))
        #expect(house.services.stub.requests.isEmpty)
    }

    // MARK: Helpers

    private func helper(_ script: String) async throws -> Credentials {
        let path = try house.home.write("helper.sh", script)
        try house.config("[profile p]\ncredential_process = /bin/sh \(path)")
        return try await house.chain().credentials(profile: "p")
    }

    @Test("a helper may print 64 KiB and no byte more", arguments: [(65_536, true), (65_537, false)])
    func helperOutput(length: Int, isTaken: Bool) async throws {
        let json = #"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s"}"#
        let script = "printf '%s' '\(json)'; head -c \(length - json.utf8.count) /dev/zero | tr '\\0' ' '"
        if isTaken {
            #expect(try await helper(script).accessKeyID == "A")
        } else {
            let failure = await #expect(throws: Failure.self) { try await self.helper(script) }
            #expect(failure?.why.contains("more than 64 KiB") == true)
        }
    }

    @Test("a helper that writes a lot of errors is not stopped by it")
    func helperErrors() async throws {
        let script =
            #"head -c 1000000 /dev/zero | tr '\0' 'e' >&2; echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s"}'"#
        #expect(try await helper(script).accessKeyID == "A")
    }

    @Test("the sandbox's own variables do not reach a helper's unit, and its words are not expanded")
    func helperUnit() {
        let variables = [
            "EICED_SANDBOX": "d", "INVOCATION_ID": "i", "WATCHDOG_USEC": "1", "PATH": "/bin", "KEY": "secret",
        ]
        func launch(_ variables: [String: String], hasServiceManager: Bool) -> HelperLaunch {
            HelperLaunch(
                ["h", "$x"], unit: "u", environment: Environment(variables), timeout: .seconds(60),
                hasServiceManager: hasServiceManager)
        }
        let unit = launch(variables, hasServiceManager: true)
        #expect(
            unit.arguments.filter { $0.hasPrefix("--setenv=") } == [
                "--setenv=KEY", "--setenv=PATH", "--setenv=WATCHDOG_USEC",
            ])
        #expect(unit.arguments.suffix(2) == ["h", "$$x"] && unit.arguments.contains("--property=RuntimeMaxSec=61"))
        #expect(unit.sandbox == nil && unit.ending?.last == "u.service")
        let inside = launch(variables, hasServiceManager: false)
        #expect(inside.arguments == ["h", "$x"] && inside.sandbox == "d" && inside.ending == nil)
        let outside = launch(["PATH": "/bin"], hasServiceManager: true)
        #expect(outside.arguments == ["h", "$x"] && outside.sandbox == nil && outside.ending == nil)
    }

    @Test("what a service manager tells the daemon alone does not reach a helper")
    func helperEnvironment() {
        let environment = Environment([
            "NOTIFY_SOCKET": "1", "LISTEN_FDS": "1", "LISTEN_PID": "1", "WATCHDOG_PID": "1", "LISTENER": "1",
            "WATCHDOG": "1", "PATH": "1",
        ])
        #expect(environment.withoutServiceManager.values.keys.sorted() == ["LISTENER", "PATH", "WATCHDOG"])
    }

    // MARK: The chain

    @Test("two profiles never share credentials, nor does a profile share those of the environment")
    func isolation() async throws {
        try house.home.write(
            ".aws/credentials",
            "[a]\naws_access_key_id = KA\naws_secret_access_key = s\n[b]\naws_access_key_id = KB\naws_secret_access_key = s"
        )
        let chain = house.chain(["AWS_ACCESS_KEY_ID": "KE", "AWS_SECRET_ACCESS_KEY": "s"])
        for _ in 0..<2 {
            #expect(try await chain.credentials(profile: "a").accessKeyID == "KA")
            #expect(try await chain.credentials(profile: "b").accessKeyID == "KB")
            #expect(try await chain.credentials(profile: nil).accessKeyID == "KE")
        }
        await chain.forget(profile: "a")
        #expect(try await chain.credentials(profile: "a").accessKeyID == "KA")
    }

    @Test("forgotten credentials are read again, and their end is known while they are in use")
    func forgetting() async throws {
        try house.config(SSOTests.config)
        try house.token("corp", #""accessToken":"b","expiresAt":"\#(house.services.now.advanced(by: 9_000))""#)
        let chain = house.chain()
        #expect(await chain.expiration(profile: "p") == nil)
        let first = try await chain.credentials(profile: "p")
        #expect(await chain.expiration(profile: "p") == house.services.now.advanced(by: 3_600))
        #expect(try await chain.credentials(profile: "p") == first)
        await chain.forget(profile: "p")
        #expect(try await chain.credentials(profile: "p") != first)
    }

    @Test("what a request must not show is found in its headers and its body's secrets")
    func requestSecrets() {
        let request = HTTPRequest(
            url: "https://ann:pw@host.example:8443/path?q#f",
            headers: [
                ("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/x, SignedHeaders=host, Signature=abcdef"),
                ("X-Amz-Security-Token", "token"),
                ("x-amz-sso_bearer_token", "bearer"), ("X-aws-ec2-metadata-token", "imds"), ("Accept", "json"),
            ], purpose: "p", secrets: ["own"])
        for secret in ["own", "A", "abcdef", "token", "bearer", "imds"] {
            #expect(request.allSecrets.contains(secret), "\(secret)")
        }
        // The rest of a signature stands in many an error message.
        #expect(!request.allSecrets.contains { $0.contains("SignedHeaders") || $0 == "json" })
        #expect(request.authority == "host.example:8443")
        #expect(HTTPRequest(url: "http://h?q", purpose: "p").authority == "h")
        #expect(HTTPRequest(url: "http://h#f", purpose: "p").authority == "h")
    }
}
