import Failures

/// `login_session`, which `aws login` writes: its tokens can be used by the AWS CLI alone, so a profile of this kind fails with
/// the way out instead of falling through to another account.
public struct LoginSessionCredentials: CredentialSource {
    public let name = "aws login"

    public init() {}

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        guard context.profile.settings["login_session"] != nil else { return nil }
        let name = context.profile.name
        throw Failure(
            .noCredentials, "profile \(name) uses \"aws login\", which eiced cannot use itself",
            why: "login_session stands at \(context.profile.place(of: "login_session"))",
            hint:
                "make a profile with: credential_process = aws configure export-credentials --profile \(name) --format process"
        )
    }
}
