import Failures

/// Keys that stand in a profile: `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`. The chain asks the
/// credentials file early and the config file late, as the AWS CLI does.
public struct StaticProfileCredentials: CredentialSource {
    public enum File: Sendable { case credentials, config }

    public let file: File
    public var name: String { file == .credentials ? "shared credentials file" : "config file" }

    public init(_ file: File) { self.file = file }

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        let path = file == .credentials ? context.config.credentialsPath : context.config.configPath
        let profile = context.profile
        guard let id = profile.settings["aws_access_key_id"], id.file == path else { return nil }
        guard let keyID = id.text, !keyID.isEmpty else {
            throw Failure(.noCredentials, "\(id.place): aws_access_key_id is empty")
        }
        guard let secret = profile["aws_secret_access_key"] else {
            throw Failure(
                .noCredentials,
                "profile \(profile.name) has aws_access_key_id (\(id.place)) but no aws_secret_access_key",
                hint: "aws configure\(context.profileOption)")
        }
        return Credentials(
            accessKeyID: keyID, secretAccessKey: secret,
            sessionToken: profile["aws_session_token"] ?? profile["aws_security_token"],
            origin: "profile \(profile.name) in \(path)",
            renewal: "write new keys for profile \(profile.name) into \(path)")
    }
}
