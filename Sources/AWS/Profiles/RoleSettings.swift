import Failures
import OpenSSL

/// The settings of a profile that assumes a role.
struct RoleSettings: Sendable {
    let profile: String
    let arn: String
    let sourceProfile: String?
    let credentialSource: String?
    let externalID: String?
    let sessionName: String?
    let mfaSerial: String?
    /// Seconds; AWS bounds them.
    let duration: Int?

    /// Nil where the profile assumes no role, or one by web identity, which has its own source.
    init?(_ profile: SharedConfig.Section) throws(Failure) {
        guard let arn = profile["role_arn"], profile.settings["web_identity_token_file"] == nil else { return nil }
        self.profile = profile.name
        self.arn = arn
        sourceProfile = profile["source_profile"]
        credentialSource = profile["credential_source"]
        externalID = profile["external_id"]
        sessionName = profile["role_session_name"]
        mfaSerial = profile["mfa_serial"]
        // The AWS CLI passes over a duration that is no number.
        duration = profile["duration_seconds"].flatMap { Int($0) }
        let place = profile.place(of: "role_arn")
        if sourceProfile != nil, credentialSource != nil {
            throw Failure(
                .configuration, "profile \(profile.name) has both source_profile and credential_source",
                why: "one of them is expected beside role_arn", hint: "remove one; role_arn stands at \(place)")
        }
        if sourceProfile == nil, credentialSource == nil {
            throw Failure(
                .configuration, "profile \(profile.name) has role_arn but neither source_profile nor credential_source",
                hint: "say whose credentials assume the role; role_arn stands at \(place)")
        }
    }

    /// The parameters of AssumeRole.
    func arguments(sessionName fallback: String) -> [(String, String)] {
        var arguments = [("RoleArn", arn), ("RoleSessionName", sessionName ?? fallback)]
        if let externalID { arguments.append(("ExternalId", externalID)) }
        if let duration { arguments.append(("DurationSeconds", String(duration))) }
        return arguments
    }

    /// The name under which the AWS CLI keeps the credentials of this role in `~/.aws/cli/cache`: SHA-1 over its call's
    /// arguments as Python's json.dumps writes them, keys sorted, without a session name of its own making.
    var cacheName: String {
        var fields: [(String, String)] = []
        if let duration { fields.append(("DurationSeconds", String(duration))) }
        if let externalID { fields.append(("ExternalId", Self.json(externalID))) }
        fields.append(("RoleArn", Self.json(arn)))
        if let sessionName { fields.append(("RoleSessionName", Self.json(sessionName))) }
        if let mfaSerial { fields.append(("SerialNumber", Self.json(mfaSerial))) }
        let text = "{" + fields.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
        return Digest.hexadecimal(Digest.sha1(text.utf8)) + ".json"
    }

    /// A JSON string with everything beyond ASCII as `\uXXXX`.
    private static func json(_ text: String) -> String {
        var result = "\""
        for unit in text.utf16 {
            switch unit {
            case 0x22: result += "\\\""
            case 0x5C: result += "\\\\"
            case 0x0A: result += "\\n"
            case 0x0D: result += "\\r"
            case 0x09: result += "\\t"
            case 0x20..<0x7F: result.unicodeScalars.append(UnicodeScalar(UInt8(unit)))
            default:
                let digits = String(unit, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return result + "\""
    }
}
