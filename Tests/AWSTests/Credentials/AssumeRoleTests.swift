import Failures
import TestSupport
import Testing

@testable import AWS

@Suite struct AssumeRoleTests {
    /// A person who reads "X is awaited" is to look at what hangs, which a role's source may be.
    @Test func aRoleWhoseSourceHangsWaitsForThatSource() async throws {
        let house = try Household()
        try house.config(
            """
            [profile p]
            role_arn = arn:aws:iam::1:role/r
            source_profile = q
            [profile q]
            credential_process = /bin/sleep 600
            """)
        let chain = house.chain()
        let hanging = Task { try await chain.credentials(profile: "p") }
        try await eventually("the helper is awaited") {
            chain.awaitedSource(profile: "p") == AwaitedSource(name: "credential_process", isLocal: true)
        }
        hanging.cancel()
        _ = await hanging.result
    }

    @Test(
        "a page of a proxy is no answer of STS",
        arguments: [
            "<html><Credentials><AccessKeyId>a</AccessKeyId></Credentials></html>",
            "<AssumeRoleWithWebIdentityResponse/>", "<!DOCTYPE html><p>Sign in",
        ])
    func pageInsteadOfARole(page: String) async throws {
        let house = try Household()
        try house.config(
            "[profile p]\nrole_arn = arn:a\nsource_profile = q\n[profile q]\naws_access_key_id = K\naws_secret_access_key = s"
        )
        let stub = try HTTPStub { _ in .init(200, page) }
        let failure = try await house.failure("p", ["AWS_ENDPOINT_URL_STS": stub.url])
        #expect(failure.kind == .protocolMismatch)
        #expect(failure.why.contains("the answer is not from AWS"), "\(failure)")
    }

    @Test func theRolesSettingsTravelToSTS() async throws {
        let house = try Household()
        try house.config(
            """
            [profile p]
            role_arn = arn:aws:iam::123456789012:role/admin
            source_profile = base
            external_id = e/1
            role_session_name = ann
            duration_seconds = 7200
            region = eu-west-1
            [profile base]
            aws_access_key_id = AKIABASE
            aws_secret_access_key = s
            """)
        let credentials = try await house.chain().credentials(profile: "p")
        #expect(credentials.origin.contains("arn:aws:iam::123456789012:role/admin"))
        let request = try #require(house.services.stub.requests.first)
        #expect(
            request.body
                == "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fadmin"
                + "&RoleSessionName=ann&ExternalId=e%2F1&DurationSeconds=7200")
        #expect(request.header("authorization")?.contains("Credential=AKIABASE/") == true)
        #expect(request.header("authorization")?.contains("/eu-west-1/sts/aws4_request") == true)
    }

    @Test func rolesChainFromProfileToProfile() async throws {
        let house = try Household()
        try house.config(
            """
            [profile a]
            role_arn = arn:a
            source_profile = b
            [profile b]
            role_arn = arn:b
            source_profile = c
            [profile c]
            aws_access_key_id = AKIAC
            aws_secret_access_key = s
            """)
        _ = try await house.chain().credentials(profile: "a")
        let requests = house.services.stub.requests
        try #require(requests.count == 2)
        #expect(requests[0].body.contains("RoleArn=arn%3Ab"))
        #expect(requests[0].header("authorization")?.contains("AKIAC/") == true)
        #expect(requests[1].body.contains("RoleArn=arn%3Aa"))
        #expect(requests[1].header("x-amz-security-token") == "t")
    }

    @Test func aProfileMayNameItselfWhereItHoldsKeys() async throws {
        let house = try Household()
        try house.config("[profile a]\nrole_arn = arn:a\nsource_profile = a")
        try house.home.write(".aws/credentials", "[a]\naws_access_key_id = AKIAA\naws_secret_access_key = s")
        #expect(try await house.chain().credentials(profile: "a").accessKeyID.hasPrefix("ASIA"))
    }

    @Test func environmentKeysCanBeTheSource() async throws {
        let house = try Household()
        try house.config("[profile a]\nrole_arn = arn:a\ncredential_source = Environment")
        let keys = ["AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"]
        _ = try await house.chain(keys).credentials(profile: "a")
        #expect(try #require(house.services.stub.requests.first).header("authorization")?.contains("AKIAENV/") == true)
        #expect(try await house.failure("a").kind == .noCredentials)
    }

    @Test(arguments: [
        ("role_arn = arn:a\nsource_profile = a", Failure.Kind.configuration, "leads back"),
        (
            "role_arn = arn:a\nsource_profile = b\n[profile b]\nrole_arn = arn:b\nsource_profile = a", .configuration,
            "a → b → a"
        ),
        ("role_arn = arn:a\nsource_profile = none", .unknownProfile, "none"),
        ("role_arn = arn:a", .configuration, "neither source_profile nor credential_source"),
        ("role_arn = arn:a\nsource_profile = b\ncredential_source = Environment", .configuration, "both"),
        ("role_arn = arn:a\ncredential_source = Moon", .configuration, "Moon"),
        (
            "role_arn = arn:a\nsource_profile = b\n[profile b]\nregion = x", .noCredentials,
            "profile b has no credentials"
        ),
    ])
    func wrongSettingsAreNamed(config: String, kind: Failure.Kind, text: String) async throws {
        let house = try Household()
        try house.config("[profile a]\n\(config)")
        let failure = try await house.failure("a")
        #expect(failure.kind == kind)
        #expect(failure.sentence.contains(text), "\(failure)")
        #expect("\(failure)".contains(house.home(".aws/config")))
        #expect(house.services.stub.requests.isEmpty)
    }

    /// Names computed with botocore's AssumeRoleCredentialFetcher.
    @Test func cacheNamesEqualTheAWSCLIs() throws {
        func name(_ text: String) throws -> String? {
            let file = try ProfileFile(parsing: Array("[profile a]\nsource_profile=b\n\(text)".utf8))
            let config = SharedConfig(config: file, configPath: "/c", credentials: nil, credentialsPath: "/k")
            return try RoleSettings(try config.profile("a"))?.cacheName
        }
        let role = "role_arn = arn:aws:iam::123456789012:role/admin\nmfa_serial = arn:aws:iam::123456789012:mfa/ann\n"
        #expect(try name(role) == "31791e23b3216a4c8b61cf17a9b2495ad263768a.json")
        #expect(
            try name(role + "role_session_name = änn\nexternal_id = a\"b\\c\nduration_seconds = 7200")
                == "b220c2eaec628390a33592ff8c8fdfc65a0f9273.json")
    }

    @Test func mfaSaysWhatToRunAndTakesWhatTheCLICached() async throws {
        let house = try Household()
        try house.config(
            "[profile a]\nrole_arn = arn:aws:iam::123456789012:role/admin\nmfa_serial = arn:aws:iam::123456789012:mfa/ann\nsource_profile = b\n[profile b]\naws_access_key_id = A\naws_secret_access_key = s"
        )
        let chain = house.chain()
        let failure = await #expect(throws: Failure.self) { try await chain.credentials(profile: "a") }
        #expect(failure?.kind == .needsLogin)
        #expect(failure?.hint == "aws sts get-caller-identity --profile a")
        let end = house.services.now.advanced(by: 900)
        try house.home.write(
            ".aws/cli/cache/31791e23b3216a4c8b61cf17a9b2495ad263768a.json",
            #"{"Credentials":{"AccessKeyId":"ASIAMFA","SecretAccessKey":"s","SessionToken":"t","Expiration":"\#(end)"},"ResponseMetadata":{}}"#
        )
        #expect(try await chain.credentials(profile: "a").accessKeyID == "ASIAMFA")
        house.services.advance(1_000)
        let ended = await #expect(throws: Failure.self) { try await chain.credentials(profile: "a") }
        #expect(ended?.kind == .needsLogin)
        #expect(house.services.stub.requests.isEmpty)
    }

    @Test func webIdentityVariablesCountOnlyWithoutAProfile() async throws {
        let house = try Household()
        let path = try house.home.write("jwt", "ey.token\n")
        try house.config("[profile p]\naws_access_key_id = AKIAP\naws_secret_access_key = s")
        let variables = ["AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ROLE_ARN": "arn:w", "AWS_ROLE_SESSION_NAME": "job"]
        #expect(try await house.chain(variables).credentials(profile: nil).accessKeyID.hasPrefix("ASIA"))
        let request = try #require(house.services.stub.requests.first)
        #expect(request.body.contains("Action=AssumeRoleWithWebIdentity"))
        #expect(request.body.hasSuffix("RoleArn=arn%3Aw&RoleSessionName=job&WebIdentityToken=ey.token"))
        #expect(request.header("authorization") == nil)
        #expect(try await house.chain(variables).credentials(profile: "p").accessKeyID == "AKIAP")
        let missing = try await house.failure(
            nil, ["AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent", "AWS_ROLE_ARN": "arn:w"])
        #expect(missing.sentence.contains("/nonexistent"))
        #expect(try await house.failure(nil, ["AWS_WEB_IDENTITY_TOKEN_FILE": path]).kind == .configuration)
    }
}
