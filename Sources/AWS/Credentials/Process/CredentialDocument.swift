import Basics
import Failures
import FoundationEssentials

/// Credentials as helpers, containers and the metadata service write them: one JSON object. Its content is never shown.
struct CredentialDocument: Decodable {
    var version: Int?
    var code: String?
    var message: String?
    var accessKeyID: String?
    var secretAccessKey: String?
    var sessionToken: String?
    var token: String?
    var expiration: String?

    enum CodingKeys: String, CodingKey {
        case version = "Version"
        case code = "Code"
        case message = "Message"
        case accessKeyID = "AccessKeyId"
        case secretAccessKey = "SecretAccessKey"
        case sessionToken = "SessionToken"
        case token = "Token"
        case expiration = "Expiration"
    }

    /// Nil where the bytes are no JSON object of this form.
    init?(_ bytes: [UInt8]) {
        guard let document = try? JSONDecoder().decode(CredentialDocument.self, from: Data(bytes)) else { return nil }
        self = document
    }

    /// The credentials, or what is missing or wrong.
    func credentials(
        origin: String, renewal: String, mayOutliveEnd: Bool = false
    ) -> Result<Credentials, Missing> {
        guard let keyID = Credentials.present(accessKeyID) else {
            return .failure(Missing(what: "it has no AccessKeyId"))
        }
        guard let secret = Credentials.present(secretAccessKey) else {
            return .failure(Missing(what: "it has no SecretAccessKey"))
        }
        var end: WallTime?
        if let expiration = Credentials.present(expiration) {
            end = WallTime(rfc3339: expiration)
            if end == nil { return .failure(Missing(what: "its Expiration is no date")) }
        }
        return .success(
            Credentials(
                accessKeyID: keyID, secretAccessKey: secret,
                sessionToken: Credentials.present(sessionToken) ?? Credentials.present(token), expiration: end,
                mayOutliveEnd: mayOutliveEnd, origin: origin, renewal: renewal))
    }

    /// What of it nobody may see.
    var secrets: [String?] { [secretAccessKey, sessionToken, token, accessKeyID] }

    struct Missing: Error { let what: String }
}
