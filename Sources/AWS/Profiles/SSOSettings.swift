import Failures
import OpenSSL

/// What a profile says about IAM Identity Center: the form with `sso_session`, whose token can be refreshed, and the legacy
/// form with everything in the profile.
struct SSOSettings: Sendable, Hashable {
    let profile: String
    let accountID: String
    let roleName: String
    let startURL: String
    let region: String
    /// Nil in the legacy form.
    let session: String?

    /// Nil where the profile names neither account nor role.
    init?(_ profile: SharedConfig.Section, in config: SharedConfig) throws(Failure) {
        guard profile.settings["sso_account_id"] != nil || profile.settings["sso_role_name"] != nil else { return nil }
        var shared: SharedConfig.Section?
        if let name = profile["sso_session"] {
            guard let found = config.ssoSessions[name] else {
                throw Failure(
                    .configuration,
                    "profile \(profile.name) names the sso-session \(name), which is not in \(config.configPath)",
                    hint: "aws configure sso-session")
            }
            shared = try found.usable()
            for key in ["sso_start_url", "sso_region"] {
                if let own = profile[key], let theirs = found[key], own != theirs {
                    throw Failure(
                        .configuration, "\(profile.place(of: key)): \(key) differs from that of sso-session \(name)",
                        hint: "remove it from profile \(profile.name)")
                }
            }
        }
        var missing: [String] = []
        func value(_ key: String, _ section: SharedConfig.Section?) -> String {
            if let value = section?[key] ?? profile[key] { return value }
            missing.append(key)
            return ""
        }
        self.profile = profile.name
        session = profile["sso_session"]
        accountID = value("sso_account_id", profile)
        roleName = value("sso_role_name", profile)
        startURL = value("sso_start_url", shared)
        region = value("sso_region", shared)
        guard missing.isEmpty else {
            throw Failure(
                .configuration,
                "profile \(profile.name) uses IAM Identity Center but lacks \(missing.joined(separator: ", "))",
                hint: "aws configure sso\(profile.name == "default" ? "" : " --profile \(profile.name)")")
        }
    }

    /// The AWS CLI's token cache: SHA-1 of the session's name, or of the start URL in the legacy form.
    var cachePath: String {
        "~/.aws/sso/cache/\(Digest.hexadecimal(Digest.sha1((session ?? startURL).utf8))).json"
    }

    var login: String { profile == "default" ? "aws sso login" : "aws sso login --profile \(profile)" }
}
