import Basics
import Failures

/// IAM Identity Center: the log-in that `aws sso login` has cached is exchanged for a role's credentials. In the
/// `sso_session` form a token near its end is refreshed by the OIDC service and written back, as the AWS CLI does; where no
/// valid token is there, the identity needs a log-in by a person.
public struct SSOCredentials: CredentialSource {
    public let name = "IAM Identity Center"
    /// Seconds before its end at which a token is refreshed.
    private static let refreshWindow: Int64 = 900
    /// One at a time for each token: a refresh may end the life of the token that it was made with.
    private let tokens = SingleFlight<String, String>()
    private let unsaved = UnsavedTokens()

    /// Writes a file of the cache.
    private let write: @Sendable (String, [UInt8]) async throws(Failure) -> Void

    public init() { self.init { (path, bytes) async throws(Failure) in try await LocalFile.write(path, bytes) } }

    init(write: @escaping @Sendable (String, [UInt8]) async throws(Failure) -> Void) { self.write = write }

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        guard let settings = try SSOSettings(context.profile, in: context.config) else { return nil }
        let path = context.environment.expand(path: settings.cachePath)
        let token = try await tokens.run(path, what: "cannot refresh the log-in of profile \(settings.profile)") {
            () throws(Failure) in try await self.token(settings, path, context)
        }
        return try await exchange(token, settings, context)
    }

    private func needsLogin(_ settings: SSOSettings, _ why: String) -> Failure {
        Failure(
            .needsLogin, "profile \(settings.profile) needs a log-in to IAM Identity Center", why: why,
            hint: settings.login)
    }

    // MARK: - The token

    private func token(
        _ settings: SSOSettings, _ path: String, _ context: SourceContext
    ) async throws(Failure) -> String {
        guard let bytes = try await LocalFile.read(path, limit: 256 << 10) else {
            unsaved.forget(path)
            throw needsLogin(settings, "there is no cached log-in (\(path))")
        }
        guard let saved = SSOToken(bytes) else {
            throw needsLogin(settings, "the cached log-in \(path) is not readable")
        }
        let token = unsaved.successor(of: saved, at: path) ?? saved
        let now = context.call.clock.now()
        let end = token.end ?? WallTime(secondsSinceEpoch: 0)
        if now.advanced(by: Self.refreshWindow) < end { return token.accessToken }
        if settings.session != nil, let fresh = try await refresh(token, of: saved, settings, path, context) {
            return fresh
        }
        // A refresh that failed is no reason to refuse a token that still lives.
        if now < end { return token.accessToken }
        throw needsLogin(settings, "the log-in ended at \(end)")
    }

    /// Nil where the token cannot be refreshed or the service refuses to.
    private func refresh(
        _ token: SSOToken, of saved: SSOToken, _ settings: SSOSettings, _ path: String, _ context: SourceContext
    ) async throws(Failure) -> String? {
        guard let clientID = token.clientID, let clientSecret = token.clientSecret, let old = token.refreshToken,
            let registration = token.registrationExpiresAt.flatMap({ WallTime(rfc3339: $0) }),
            context.call.clock.now() < registration
        else { return nil }
        let endpoint = try context.call.rules.endpoint(of: .ssoOIDC, in: settings.region)
        let request = SSOToken.RefreshRequest(clientId: clientID, clientSecret: clientSecret, refreshToken: old)
        let response: HTTPResponse
        do throws(Failure) {
            response = try await context.call.send(
                "POST", to: endpoint.address, path: "/token", headers: [("Content-Type", "application/json")],
                body: request.json, purpose: "refresh the log-in of profile \(settings.profile)",
                secrets: [clientSecret, old])
        } catch {
            // The token may live on; if not, the network is at fault and not the log-in.
            if let end = token.end, context.call.clock.now() < end { return nil }
            throw error
        }
        guard response.status == 200, let answer = SSOToken.Refreshed(response.body) else {
            let error = ServiceError(json: response)
            // The service refuses a log-in with a JSON object: neither a page nor a success of another form is a refusal.
            if response.status >= 500 || response.status == 429 || response.status < 400 || error.isForeign {
                if let end = token.end, context.call.clock.now() < end { return nil }
                let purpose = "refresh the log-in of profile \(settings.profile)"
                throw response.status < 400
                    ? ForeignAnswer.failure(purpose, "it holds no token (HTTP \(response.status))")
                    : error.failure("cannot \(purpose)", credentials: nil)
            }
            context.call.logger.info(
                "the log-in of profile \(settings.profile) was not refreshed: HTTP \(response.status)")
            return nil
        }
        var fresh = token
        fresh.startURL = settings.startURL
        fresh.region = settings.region
        fresh.accessToken = answer.accessToken
        fresh.expiresAt = context.call.clock.now().advanced(by: answer.expiresIn).rfc3339
        fresh.refreshToken = answer.refreshToken ?? old
        // In memory first: a refresh token is good for one use.
        unsaved.keep(fresh, insteadOf: saved, at: path)
        await save(fresh, path, context)
        return fresh.accessToken
    }

    /// A cache that cannot be written costs the next process a log-in, not this one.
    private func save(_ token: SSOToken, _ path: String, _ context: SourceContext) async {
        guard let json = token.json else { return }
        do {
            try await write(path, json)
            unsaved.forget(path)
        } catch {
            context.call.logger.warning("the refreshed log-in was not saved: \(error)")
        }
    }

    // MARK: - The role

    private func exchange(
        _ token: String, _ settings: SSOSettings, _ context: SourceContext
    ) async throws(Failure) -> Credentials {
        let purpose =
            "get credentials of role \(settings.roleName) in account \(settings.accountID) from IAM Identity Center"
        let endpoint = try context.call.rules.endpoint(of: .sso, in: settings.region)
        let query = CanonicalRequest.query([("role_name", settings.roleName), ("account_id", settings.accountID)])
        return try await RetryPolicy().run { () throws(Failure) in
            let response = try await context.call.send(
                "GET", to: endpoint.address, path: "/federation/credentials?\(query)",
                headers: [("x-amz-sso_bearer_token", token), ("Accept", "application/json")], purpose: purpose)
            guard response.status == 200 else {
                let error = ServiceError(json: response)
                if response.status == 401, !error.isForeign { throw needsLogin(settings, error.summary) }
                throw error.failure("cannot \(purpose)", credentials: nil)
            }
            guard let answer = SSORoleAnswer(response.body)?.roleCredentials else {
                throw ForeignAnswer.failure(purpose, "it holds no credentials")
            }
            return Credentials(
                accessKeyID: answer.accessKeyId, secretAccessKey: answer.secretAccessKey,
                sessionToken: answer.sessionToken,
                expiration: WallTime(secondsSinceEpoch: answer.expiration / 1_000),
                origin: "profile \(settings.profile) by IAM Identity Center", renewal: settings.login)
        }
    }
}
