import Basics
import Failures

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the daemon's own environment. A profile that
/// was named with the request turns this source off; `AWS_PROFILE` beside the keys does not, as in the AWS CLI.
public struct EnvironmentCredentials: CredentialSource {
    public let name = "environment"

    public init() {}

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        guard context.identity.profile == nil else { return nil }
        return try Self.read(context.environment)
    }

    static func read(_ environment: Environment) throws(Failure) -> Credentials? {
        try environment.checkWithheld(["AWS_ACCESS_KEY_ID"])
        guard let keyID = environment["AWS_ACCESS_KEY_ID"] else { return nil }
        guard let secret = environment["AWS_SECRET_ACCESS_KEY"] else {
            throw Failure(
                .noCredentials, "AWS_ACCESS_KEY_ID is set in the daemon's environment, AWS_SECRET_ACCESS_KEY is not",
                hint: "set both or neither, and restart eiced")
        }
        var expiration: WallTime?
        if let text = environment["AWS_CREDENTIAL_EXPIRATION"] {
            expiration = WallTime(rfc3339: text)
            if expiration == nil {
                throw Failure(
                    .configuration, "AWS_CREDENTIAL_EXPIRATION of the daemon's environment is no date",
                    why: "a date such as 2026-01-31T23:59:59Z is expected")
            }
        }
        return Credentials(
            accessKeyID: keyID, secretAccessKey: secret,
            sessionToken: environment.first(of: "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"), expiration: expiration,
            origin: "environment",
            renewal: "set new keys in the environment of eiced and restart it, or use --profile")
    }
}
