import Basics
import FoundationEssentials

/// A cached log-in of IAM Identity Center, as the AWS CLI keeps it.
struct SSOToken: Codable, Sendable, Hashable {
    var startURL: String?
    var region: String?
    var accessToken: String
    var expiresAt: String
    var clientID: String?
    var clientSecret: String?
    var registrationExpiresAt: String?
    var refreshToken: String?

    enum CodingKeys: String, CodingKey {
        case startURL = "startUrl"
        case region, accessToken, expiresAt
        case clientID = "clientId"
        case clientSecret, registrationExpiresAt, refreshToken
    }

    init?(_ bytes: [UInt8]) {
        guard let token = try? JSONDecoder().decode(SSOToken.self, from: Data(bytes)),
            HeaderText.flaw(of: token.accessToken) == nil
        else { return nil }
        self = token
    }

    /// Nil where it is no date: such a token counts as expired.
    var end: WallTime? { WallTime(rfc3339: expiresAt) }

    /// As the file has it.
    var json: [UInt8]? { (try? JSONEncoder().encode(self)).map { Array($0) } }

    /// What the OIDC service answers to a refresh.
    struct Refreshed: Decodable {
        let accessToken: String
        let expiresIn: Int64
        let refreshToken: String?

        init?(_ bytes: [UInt8]) {
            guard let answer = try? JSONDecoder().decode(Refreshed.self, from: Data(bytes)),
                HeaderText.flaw(of: answer.accessToken) == nil
            else { return nil }
            self = answer
        }
    }

    struct RefreshRequest: Encodable {
        let clientId: String
        let clientSecret: String
        let grantType = "refresh_token"
        let refreshToken: String

        var json: [UInt8] { (try? JSONEncoder().encode(self)).map { Array($0) } ?? [] }
    }
}

/// What GetRoleCredentials answers.
struct SSORoleAnswer: Decodable {
    struct Credentials: Decodable {
        let accessKeyId: String
        let secretAccessKey: String
        let sessionToken: String?
        /// Milliseconds since 1970.
        let expiration: Int64
    }

    let roleCredentials: Credentials

    init?(_ bytes: [UInt8]) {
        guard let answer = try? JSONDecoder().decode(SSORoleAnswer.self, from: Data(bytes)) else { return nil }
        self = answer
    }
}
