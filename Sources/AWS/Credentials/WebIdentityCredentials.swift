import Basics
import Failures

/// A token in a file, as EKS and CI systems provide, exchanged for a role's credentials (AssumeRoleWithWebIdentity):
/// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`, or `web_identity_token_file` and `role_arn` of a profile. The variables
/// count only where no profile is named.
public struct WebIdentityCredentials: CredentialSource {
    public let name = "web identity"
    private static let largestToken = 64 << 10

    public init() {}

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        let variables = context.identity.profile == nil ? context.environment : Environment([:])
        let profile = context.profile
        guard let path = variables["AWS_WEB_IDENTITY_TOKEN_FILE"] ?? profile["web_identity_token_file"] else {
            return nil
        }
        guard let arn = variables["AWS_ROLE_ARN"] ?? profile["role_arn"] else {
            throw Failure(
                .configuration, "a web identity token is configured without a role",
                why: "the token is \(path)", hint: "set AWS_ROLE_ARN, or role_arn in profile \(profile.name)")
        }
        let expanded = context.environment.expand(path: path)
        guard let bytes = try await LocalFile.read(expanded, limit: Self.largestToken) else {
            throw Failure(.noCredentials, "the web identity token \(path) does not exist")
        }
        let token = String(decoding: bytes, as: UTF8.self).trimmingWhitespace()
        guard !token.isEmpty else { throw Failure(.noCredentials, "the web identity token \(path) is empty") }
        let session =
            variables["AWS_ROLE_SESSION_NAME"] ?? profile["role_session_name"]
            ?? "eiced-\(context.call.clock.now().secondsSinceEpoch)"
        let origin = "role \(arn) by the web identity token \(path)"
        let sts = STS(call: context.call, roleARN: arn, authorization: .unsigned)
        return try await sts.assumeRoleWithWebIdentity(
            [("RoleArn", arn), ("RoleSessionName", session), ("WebIdentityToken", token)],
            renewal: "whatever writes \(path) must renew it", origin: origin, purpose: "assume \(origin)")
    }
}
