import FoundationEssentials

/// A file of the AWS CLI's cache of assumed roles: STS's answer as JSON.
struct CachedRole: Decodable {
    let credentials: CredentialDocument

    enum CodingKeys: String, CodingKey { case credentials = "Credentials" }

    init?(_ bytes: [UInt8]) {
        guard let document = try? JSONDecoder().decode(CachedRole.self, from: Data(bytes)) else { return nil }
        self = document
    }
}
