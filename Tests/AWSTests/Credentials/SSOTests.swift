import Basics
import Failures
import Glibc
import OpenSSL
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct SSOTests {
    static let config = """
        [profile p]
        sso_session = corp
        sso_account_id = 123456789012
        sso_role_name = Admin
        [sso-session corp]
        sso_region = eu-west-1
        sso_start_url = https://corp.awsapps.com/start
        """
    static let client =
        #""clientId":"c","clientSecret":"cs","refreshToken":"old-refresh","registrationExpiresAt":"2099-01-01T00:00:00Z""#

    @Test func theTokenIsExchangedForTheRolesCredentials() async throws {
        let house = try Household()
        try house.config(Self.config)
        try house.token("corp", #""accessToken":"bearer","expiresAt":"\#(house.services.now.advanced(by: 3_600))""#)
        let credentials = try await house.chain().credentials(profile: "p")
        #expect(credentials.sessionToken == "t")
        #expect(credentials.renewal == "aws sso login --profile p")
        let request = try #require(house.services.stub.requests.first)
        #expect(request.target == "/federation/credentials?account_id=123456789012&role_name=Admin")
        #expect(request.header("x-amz-sso_bearer_token") == "bearer")
    }

    @Test func aTokenNearItsEndIsRefreshedAndWrittenBack() async throws {
        let house = try Household()
        try house.config(Self.config)
        let now = house.services.now
        try house.token("corp", #""accessToken":"old","expiresAt":"\#(now.advanced(by: 60))",\#(Self.client)"#)
        _ = try await house.chain().credentials(profile: "p")
        let requests = house.services.stub.requests
        try #require(requests.count == 2)
        #expect(requests[0].target == "/token")
        #expect(requests[0].body.contains(#""grantType":"refresh_token""#))
        #expect(requests[0].body.contains(#""refreshToken":"old-refresh""#))
        #expect(requests[1].header("x-amz-sso_bearer_token") == "fresh")
        let path = house.home(".aws/sso/cache/\(Digest.hexadecimal(Digest.sha1("corp".utf8))).json")
        let saved = try #require(SSOToken(Array((contents(of: path) ?? "").utf8)))
        #expect(saved.accessToken == "fresh")
        #expect(saved.refreshToken == "next")
        #expect(saved.clientSecret == "cs")
        #expect(saved.end == now.advanced(by: 28_800))
    }

    @Test func theRefreshedTokenIsReadByBotocoresRules() throws {
        let token = try #require(
            SSOToken(Array(#"{"accessToken":"a","expiresAt":"2026-01-01T00:00:00Z","extra":1,\#(Self.client)}"#.utf8)))
        let text = String(decoding: try #require(token.json), as: UTF8.self)
        for key in ["accessToken", "expiresAt", "clientId", "clientSecret", "registrationExpiresAt", "refreshToken"] {
            #expect(text.contains("\"\(key)\":"))
        }
    }

    @Test func aTokenThatStillLivesServesWhenItsRefreshFails() async throws {
        let house = try Household()
        try house.config(Self.config)
        try house.token(
            "corp", #""accessToken":"old","expiresAt":"\#(house.services.now.advanced(by: 60))",\#(Self.client)"#)
        let closed = "http://127.0.0.1:\(try freePort())"
        _ = try await house.chain(["AWS_ENDPOINT_URL_SSO_OIDC": closed]).credentials(profile: "p")
        #expect(try #require(house.services.stub.requests.first).header("x-amz-sso_bearer_token") == "old")
    }

    @Test(arguments: [500, 503, 429])
    func aTokenThatStillLivesServesWhileTheServiceThatRefreshesItFails(status: Int) async throws {
        let house = try Household()
        try house.config(Self.config)
        try house.token(
            "corp", #""accessToken":"old","expiresAt":"\#(house.services.now.advanced(by: 60))",\#(Self.client)"#)
        let failing = try HTTPStub { _ in .init(status, "{}") }
        _ = try await house.chain(["AWS_ENDPOINT_URL_SSO_OIDC": failing.url]).credentials(profile: "p")
        #expect(try #require(house.services.stub.requests.first).header("x-amz-sso_bearer_token") == "old")
        // Without a life left in it, what fails is the service and not the log-in.
        house.services.advance(3_600)
        #expect(try await house.failure("p", ["AWS_ENDPOINT_URL_SSO_OIDC": failing.url]).kind.exitCode == 75)
    }

    @Test(
        arguments: [
            nil, "", "{", #"{"accessToken":""#, #"{"accessToken":"a"}"#, #"{"accessToken":"a","expiresAt":"never"}"#,
            #"{"accessToken":"a","expiresAt":"2020-01-01T00:00:00Z"}"#, "[]",
        ] as [String?])
    func withoutAValidTokenALoginIsAskedFor(content: String?) async throws {
        let house = try Household()
        try house.config(Self.config)
        if let content {
            try house.home.write(".aws/sso/cache/\(Digest.hexadecimal(Digest.sha1("corp".utf8))).json", content)
        }
        let failure = try await house.failure("p")
        #expect(failure.kind == .needsLogin)
        #expect(failure.hint == "aws sso login --profile p")
        #expect(house.services.stub.requests.isEmpty)
    }

    @Test func aTokenThatTheServiceRefusesNeedsALogin() async throws {
        let house = try Household()
        let stub = try HTTPStub { _ in
            .init(
                401, headers: [("x-amzn-ErrorType", "UnauthorizedException:http://x")],
                #"{"message":"Session token not found or invalid"}"#)
        }
        try house.config(Self.config)
        try house.token("corp", #""accessToken":"bearer","expiresAt":"\#(house.services.now.advanced(by: 3_600))""#)
        let failure = try await house.failure("p", ["AWS_ENDPOINT_URL_SSO": stub.url])
        #expect(failure.kind == .needsLogin)
        #expect(failure.why.contains("UnauthorizedException: Session token not found or invalid"))
        let forbidden = try HTTPStub { _ in
            .init(403, #"{"__type":"com.amazonaws#ForbiddenException","message":"No access"}"#)
        }
        #expect(try await house.failure("p", ["AWS_ENDPOINT_URL_SSO": forbidden.url]).kind == .accessDenied)
    }

    @Test(arguments: [
        ("[profile p]\nsso_session = none\nsso_account_id = 1\nsso_role_name = r", "none"),
        ("[profile p]\nsso_account_id = 1", "sso_role_name, sso_start_url, sso_region"),
        (
            "[profile p]\nsso_session = s\nsso_role_name = r\n[sso-session s]\nsso_region = x",
            "sso_account_id, sso_start_url"
        ),
        (
            "[profile p]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\nsso_region = y\n[sso-session s]\nsso_region = x\nsso_start_url = u",
            "differs"
        ),
    ])
    func incompleteSettingsAreNamed(config: String, text: String) async throws {
        let house = try Household()
        try house.config(config)
        let failure = try await house.failure("p")
        #expect(failure.kind == .configuration)
        #expect(failure.sentence.contains(text), "\(failure)")
    }

    /// Refresh tokens are good for one use: each refresh ends the one it was made with.
    private static func portal(_ role: @escaping @Sendable () -> WallTime) throws -> HTTPStub {
        let refreshes = Atomic(0)
        return try HTTPStub { request in
            let count = refreshes.load(ordering: .relaxed)
            if request.target == "/token" {
                let refreshToken = count == 0 ? "old-refresh" : "r\(count)"
                guard request.body.contains(#""refreshToken":"\#(refreshToken)""#) else {
                    return .init(400, #"{"error":"invalid_grant","error_description":"Invalid refresh token"}"#)
                }
                refreshes.store(count + 1, ordering: .relaxed)
                return .init(
                    200, #"{"accessToken":"a\#(count + 1)","expiresIn":3600,"refreshToken":"r\#(count + 1)"}"#)
            }
            guard request.header("x-amz-sso_bearer_token") == "a\(count)" else {
                return .init(401, #"{"__type":"UnauthorizedException","message":"Session token not found"}"#)
            }
            let end = role().secondsSinceEpoch
            return .init(
                200,
                #"{"roleCredentials":{"accessKeyId":"ASIA\#(count)","secretAccessKey":"s","sessionToken":"t","expiration":\#(end)000}}"#
            )
        }
    }

    @Test("a refreshed log-in stays in memory while its cache cannot be written")
    func cacheThatCannotBeWritten() async throws {
        let house = try Household()
        try house.config(Self.config)
        let services = house.services
        let portal = try Self.portal { services.now.advanced(by: 900) }
        let expired = #""accessToken":"a0","expiresAt":"\#(house.services.now.advanced(by: -60))",\#(Self.client)"#
        try house.token("corp", expired)
        let sso = SSOCredentials { (path, _) throws(Failure) in throw Failure(.stateNotSaved, "cannot write \(path)") }
        let chain = house.chain(
            ["AWS_ENDPOINT_URL_SSO": portal.url, "AWS_ENDPOINT_URL_SSO_OIDC": portal.url], sources: [sso])
        #expect(try await chain.credentials(profile: "p").accessKeyID == "ASIA1")
        // The role's credentials end before the log-in does.
        services.advance(1_000)
        #expect(try await chain.credentials(profile: "p").accessKeyID == "ASIA1")
        // The log-in in memory is refreshed with its own refresh token.
        for refresh in 2...3 {
            services.advance(3_600)
            #expect(try await chain.credentials(profile: "p").accessKeyID == "ASIA\(refresh)")
        }
        #expect(portal.requests.count { $0.target == "/token" } == 3)
        // A log-in that a person makes counts for more, and so does a log-out.
        services.advance(3_600)
        try house.token("corp", #""accessToken":"a3","expiresAt":"\#(services.now.advanced(by: 28_800))""#)
        #expect(try await chain.credentials(profile: "p").accessKeyID == "ASIA3")
        #expect(portal.requests.count { $0.target == "/token" } == 3)
        try house.token("corp", expired)
        services.advance(1_000)
        let failure = try #require(await #expect(throws: Failure.self) { try await chain.credentials(profile: "p") })
        #expect(failure.kind == .needsLogin)
    }

    @Test("a log-out ends a refreshed log-in that is only in memory")
    func logOut() async throws {
        let house = try Household()
        try house.config(Self.config)
        let services = house.services
        let portal = try Self.portal { services.now.advanced(by: 900) }
        let name = ".aws/sso/cache/\(Digest.hexadecimal(Digest.sha1("corp".utf8))).json"
        try house.token(
            "corp", #""accessToken":"a0","expiresAt":"\#(house.services.now.advanced(by: -60))",\#(Self.client)"#)
        let saved = try #require(contents(of: house.home(name)))
        let sso = SSOCredentials { (path, _) throws(Failure) in throw Failure(.stateNotSaved, "cannot write \(path)") }
        let chain = house.chain(
            ["AWS_ENDPOINT_URL_SSO": portal.url, "AWS_ENDPOINT_URL_SSO_OIDC": portal.url], sources: [sso])
        _ = try await chain.credentials(profile: "p")
        services.advance(1_000)
        #expect(unlink(house.home(name)) == 0)
        #expect(await #expect(throws: Failure.self) { try await chain.credentials(profile: "p") }?.kind == .needsLogin)
        // The same file again: what was in memory is gone.
        try house.home.write(name, saved)
        #expect(await #expect(throws: Failure.self) { try await chain.credentials(profile: "p") }?.kind == .needsLogin)
    }

    private static let pages: [String] = [
        "<html><body>Access blocked</body></html>", "<!DOCTYPE html><p>Sign in", "blocked by policy", "", "[]", "null",
    ]

    @Test(
        "a page of a proxy is no answer of IAM Identity Center and asks for no log-in", arguments: pages,
        [200, 401, 403])
    func pageInsteadOfARole(page: String, status: Int) async throws {
        let house = try Household()
        try house.config(Self.config)
        try house.token("corp", #""accessToken":"bearer","expiresAt":"\#(house.services.now.advanced(by: 3_600))""#)
        let stub = try HTTPStub { _ in .init(status, page) }
        let failure = try await house.failure("p", ["AWS_ENDPOINT_URL_SSO": stub.url])
        #expect(failure.kind == .protocolMismatch, "\(failure)")
        #expect(failure.why.contains("the answer is not from AWS"), "\(failure)")
        #expect(failure.hint == ForeignAnswer.hint)
    }

    @Test(
        "a page of a proxy is no refusal of a refresh and asks for no log-in", arguments: pages, [200, 302, 401, 403])
    func pageInsteadOfARefresh(page: String, status: Int) async throws {
        let house = try Household()
        try house.config(Self.config)
        try house.token(
            "corp", #""accessToken":"old","expiresAt":"\#(house.services.now.advanced(by: 60))",\#(Self.client)"#)
        let stub = try HTTPStub { _ in .init(status, page) }
        let variables = ["AWS_ENDPOINT_URL_SSO_OIDC": stub.url]
        // A log-in that lives serves meanwhile.
        _ = try await house.chain(variables).credentials(profile: "p")
        house.services.advance(60)
        let failure = try await house.failure("p", variables)
        #expect(failure.kind == .protocolMismatch, "\(failure)")
        #expect(failure.why.contains("the answer is not from AWS"), "\(failure)")
    }

    @Test func aNewLoginIsSeenAtTheNextUse() async throws {
        let house = try Household()
        try house.config(Self.config)
        let chain = house.chain()
        let failure = await #expect(throws: Failure.self) { try await chain.credentials(profile: "p") }
        #expect(failure?.kind == .needsLogin)
        try house.token("corp", #""accessToken":"bearer","expiresAt":"\#(house.services.now.advanced(by: 3_600))""#)
        #expect(try await chain.credentials(profile: "p").accessKeyID.hasPrefix("ASIA"))
    }
}
