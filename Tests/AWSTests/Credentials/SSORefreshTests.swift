import Basics
import Failures
import OpenSSL
import TestSupport
import Testing

@testable import AWS

/// When a cached log-in of IAM Identity Center is refreshed, and what becomes of its parts.
@Suite struct SSORefreshTests {
    private let house: Household
    private var now: WallTime { house.services.now }

    init() throws {
        house = try Household()
        try house.config(SSOTests.config)
    }

    /// A log-in that ends in `seconds`, with a client that is registered until `registration`.
    private func login(endsIn seconds: Int64, registration: String = "2099-01-01T00:00:00Z") throws {
        let client =
            #""clientId":"c","clientSecret":"cs","refreshToken":"old-refresh","registrationExpiresAt":"\#(registration)""#
        try house.token("corp", #""accessToken":"old","expiresAt":"\#(now.advanced(by: seconds))",\#(client)"#)
    }

    /// An OIDC service that refreshes whatever it is asked for.
    private func refresher(_ answer: String = #"{"accessToken":"fresh","expiresIn":28800}"#) throws -> HTTPStub {
        try HTTPStub { _ in .init(200, answer) }
    }

    /// The token that the role's credentials were requested with, by a daemon that was just started.
    private func bearer(_ oidc: HTTPStub) async throws -> String? {
        _ = try await house.chain(["AWS_ENDPOINT_URL_SSO_OIDC": oidc.url]).credentials(profile: "p")
        return try #require(house.services.stub.requests.last).header("x-amz-sso_bearer_token")
    }

    private func saved() throws -> SSOToken {
        let path = house.home(".aws/sso/cache/\(Digest.hexadecimal(Digest.sha1("corp".utf8))).json")
        let text = try #require(contents(of: path))
        return try #require(SSOToken(Array(text.utf8)))
    }

    @Test("an answer without a refresh token keeps the old one")
    func theRefreshTokenIsKept() async throws {
        try login(endsIn: 60)
        let oidc = try refresher()
        #expect(try await bearer(oidc) == "fresh")
        let token = try saved()
        #expect(token.accessToken == "fresh" && token.refreshToken == "old-refresh")
        #expect(token.clientID == "c" && token.clientSecret == "cs")
        #expect(token.registrationExpiresAt == "2099-01-01T00:00:00Z")
    }

    @Test("an expired registration is not used for a refresh", arguments: [-1, 0] as [Int64])
    func anExpiredRegistrationIsNotTried(seconds: Int64) async throws {
        try login(endsIn: 60, registration: now.advanced(by: seconds).rfc3339)
        let oidc = try refresher()
        #expect(try await bearer(oidc) == "old")
        #expect(oidc.requests.isEmpty)
        house.services.advance(60)
        #expect(try await house.failure("p", ["AWS_ENDPOINT_URL_SSO_OIDC": oidc.url]).kind == .needsLogin)
        #expect(oidc.requests.isEmpty)
    }

    @Test("a registration that is not a date is not used for a refresh")
    func aRegistrationThatIsNoDate() async throws {
        try login(endsIn: 60, registration: "soon")
        let oidc = try refresher()
        #expect(try await bearer(oidc) == "old")
        #expect(oidc.requests.isEmpty)
    }

    @Test("a registration is used for a refresh until its last second")
    func aRegistrationInItsLastSecond() async throws {
        try login(endsIn: 60, registration: now.advanced(by: 1).rfc3339)
        #expect(try await bearer(try refresher()) == "fresh")
    }

    @Test("a token is refreshed from fifteen minutes before its end", arguments: [(901, "old"), (900, "fresh")])
    func theRefreshWindow(seconds: Int64, token: String) async throws {
        try login(endsIn: seconds)
        #expect(try await bearer(try refresher()) == token)
    }

    @Test(
        "a token that cannot be refreshed is used until its last second and not in it",
        arguments: [(1, true), (0, false)])
    func theLastSecond(seconds: Int64, isUsed: Bool) async throws {
        try house.token("corp", #""accessToken":"old","expiresAt":"\#(now.advanced(by: seconds))""#)
        let oidc = try refresher()
        if isUsed {
            #expect(try await bearer(oidc) == "old")
        } else {
            #expect(try await house.failure("p", ["AWS_ENDPOINT_URL_SSO_OIDC": oidc.url]).kind == .needsLogin)
        }
    }

    @Test("a service that refuses the refresh asks for a log-in once the token has ended")
    func aRefusedRefresh() async throws {
        let oidc = try HTTPStub { _ in .init(400, #"{"error":"invalid_grant"}"#) }
        try login(endsIn: 60)
        #expect(try await bearer(oidc) == "old")
        house.services.advance(60)
        #expect(try await house.failure("p", ["AWS_ENDPOINT_URL_SSO_OIDC": oidc.url]).kind == .needsLogin)
    }

    @Test("an answer of 200 that holds no token is not taken for one")
    func anAnswerWithoutAToken() async throws {
        try login(endsIn: 60)
        #expect(try await bearer(try refresher(#"{"expiresIn":28800}"#)) == "old")
        #expect(try saved().accessToken == "old")
    }

    @Test("a log-in of the legacy form is never refreshed")
    func theLegacyForm() async throws {
        try house.config(
            """
            [profile p]
            sso_start_url = https://corp.awsapps.com/start
            sso_region = eu-west-1
            sso_account_id = 123456789012
            sso_role_name = Admin
            """)
        try house.token(
            "https://corp.awsapps.com/start",
            #""accessToken":"old","expiresAt":"\#(now.advanced(by: 60))",\#(SSOTests.client)"#)
        let oidc = try refresher()
        #expect(try await bearer(oidc) == "old")
        #expect(oidc.requests.isEmpty)
    }

    @Test("the end of a role's credentials is read as milliseconds")
    func theEndOfTheRole() async throws {
        try login(endsIn: 3_600)
        let chain = house.chain(["AWS_ENDPOINT_URL_SSO_OIDC": try refresher().url])
        #expect(try await chain.credentials(profile: "p").expiration == now.advanced(by: 3_600))
    }
}
