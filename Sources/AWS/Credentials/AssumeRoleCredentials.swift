import Failures

/// `role_arn` with `source_profile` or `credential_source`: another identity's credentials assume a role by STS.
///
/// Roles chain through `source_profile`; a cycle is an error. A profile may name itself as its source where it holds keys as
/// well. With `mfa_serial` a person has to type a code, which a daemon cannot ask for: it takes what the AWS CLI has cached and
/// says what to run otherwise.
public struct AssumeRoleCredentials: CredentialSource {
    public let name = "assumed role"
    /// What can give a source profile its credentials, in order.
    private let profileSources: [any CredentialSource]
    private let environmentSource: any CredentialSource
    private let containerSource: any CredentialSource
    private let metadataSource: any CredentialSource
    private let lastKnown = LastKnownCredentials()

    public init(
        profileSources: [any CredentialSource], container: any CredentialSource, metadata: any CredentialSource
    ) {
        self.profileSources = profileSources
        environmentSource = EnvironmentCredentials()
        containerSource = container
        metadataSource = metadata
    }

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        guard let role = try RoleSettings(context.profile) else { return nil }
        return try await assume(role, context)
    }

    private func assume(_ role: RoleSettings, _ context: SourceContext) async throws(Failure) -> Credentials {
        let origin = "role \(role.arn) of profile \(role.profile)"
        if role.mfaSerial != nil { return try await cached(role, origin, context) }
        let source = try await source(of: role, context)
        context.notes.ask(self)
        let sts = STS(call: context.call, roleARN: role.arn, authorization: .fixed(source))
        return try await sts.assumeRole(
            role.arguments(sessionName: "eiced-\(context.call.clock.now().secondsSinceEpoch)"), renewal: source.renewal,
            origin: origin, purpose: "assume \(origin)")
    }

    private func source(of role: RoleSettings, _ context: SourceContext) async throws(Failure) -> Credentials {
        if let name = role.credentialSource { return try await named(name, role, context) }
        let name = role.sourceProfile ?? ""
        let place = context.profile.place(of: "source_profile")
        guard let profile = try context.config.profiles[name]?.usable() else {
            throw Failure(
                .unknownProfile, "profile \(role.profile) takes its credentials from profile \(name), which is unknown",
                why: "source_profile stands at \(place)")
        }
        let hasKeys = profile.settings["aws_access_key_id"] != nil || profile.settings["aws_secret_access_key"] != nil
        if context.visited.contains(name), name != role.profile || !hasKeys {
            throw Failure(
                .configuration, "source_profile of profile \(role.profile) leads back to profile \(name)",
                why: ListText.brief(context.visited + [name], separator: " → "), hint: "correct \(place)")
        }
        let inner = context.source(profile)
        // Keys of the source profile come before a role of its own, or a profile could not name itself.
        if !hasKeys, let next = try RoleSettings(profile) { return try await assume(next, inner) }
        for source in profileSources {
            context.notes.ask(source)
            if let credentials = try await source.checkedCredentials(in: inner) { return credentials }
        }
        throw Failure(
            .noCredentials, "profile \(name) has no credentials, but profile \(role.profile) takes its own from it",
            why: "source_profile stands at \(place)")
    }

    private func named(
        _ name: String, _ role: RoleSettings, _ context: SourceContext
    ) async throws(Failure) -> Credentials {
        let place = context.profile.place(of: "credential_source")
        let source: any CredentialSource
        switch name.lowercased() {
        case "environment": source = environmentSource
        case "ecscontainer": source = containerSource
        case "ec2instancemetadata": source = metadataSource
        default:
            throw Failure(
                .configuration,
                "credential_source of profile \(role.profile) is \"\(ForeignText.excerpt(name, limit: 60))\"",
                why: "Environment, EcsContainer or Ec2InstanceMetadata is expected", hint: "correct \(place)")
        }
        context.notes.ask(source)
        // Named expressly, so the profile does not turn the environment off.
        let inner = SourceContext(
            identity: Identity(profile: nil), call: context.call, visited: context.visited, notes: context.notes)
        let key = LastKnownCredentials.Key(
            source: source.name, profile: context.profile.name, environment: context.environment)
        do throws(Failure) {
            if let credentials = try await source.checkedCredentials(in: inner) {
                lastKnown.keep(credentials, as: key)
                return credentials
            }
        } catch {
            guard !Task.isCancelled, let credentials = lastKnown.credentials(key, context.call, why: error.sentence)
            else { throw error }
            return credentials
        }
        let why = context.notes.all.joined(separator: "; ")
        if let credentials = lastKnown.credentials(key, context.call, why: why) { return credentials }
        throw Failure(
            .noCredentials, "credential_source \(name) of profile \(role.profile) has no credentials",
            why: ListText.brief(["it stands at \(place)"] + context.notes.all, separator: "; ", longest: 400))
    }

    /// What `aws … --profile X` left after a person typed the code.
    private func cached(
        _ role: RoleSettings, _ origin: String, _ context: SourceContext
    ) async throws(Failure) -> Credentials {
        let path = context.environment.expand(path: "~/.aws/cli/cache/\(role.cacheName)")
        let command = "aws sts get-caller-identity --profile \(context.identity.profile ?? role.profile)"
        let bytes = try await LocalFile.read(path, limit: 64 << 10)
        if let bytes, let document = CachedRole(bytes),
            case .success(let found) = document.credentials.credentials(origin: origin, renewal: command),
            let end = found.expiration, context.call.clock.now() < end
        {
            return found
        }
        throw Failure(
            .needsLogin, "\(origin) needs an MFA code",
            why: bytes == nil
                ? "the AWS CLI has cached no credentials for it" : "what the AWS CLI has cached for it has expired",
            hint: command)
    }
}
