import Basics
import Failures

/// The role of the EC2 instance that the daemon runs on.
public struct MetadataCredentials: CredentialSource {
    public let name = "instance metadata"
    public let isLocal = true
    private static let path = "/latest/meta-data/iam/security-credentials/"

    public init() {}

    /// Letters, digits and `+=,.@_-` (IAM User Guide, "IAM and STS quotas": names of roles).
    private static func isRoleName(_ text: String) -> Bool {
        text.utf8.count <= 64
            && text.unicodeScalars.allSatisfy {
                $0.isASCII && ($0.properties.isAlphabetic || $0.properties.numericType != nil)
                    || "+=,.@_-".unicodeScalars.contains($0)
            }
    }

    public func credentials(in context: SourceContext) async throws(Failure) -> Credentials? {
        let client = MetadataClient(call: context.call)
        let text: String
        let role: String
        do throws(MetadataClient.Trouble) {
            role = try await client.get(Self.path)
            // One role is attached at most; a list of several has never been seen, the first would be it.
            let first = role.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
            guard !first.isEmpty else {
                context.notes.add("this instance has no role")
                return nil
            }
            guard Self.isRoleName(first) else { throw .broken("it answers with something that is not a role") }
            text = try await client.get(Self.path + first)
        } catch {
            switch error {
            case .absent(let reason):
                context.notes.add(reason)
                return nil
            case .broken(let reason):
                throw Failure(.helperFailed, "the instance metadata service gives no credentials", why: reason)
            }
        }
        let what = "the instance metadata service gives no credentials for role \(ForeignText.excerpt(role, limit: 80))"
        guard let document = CredentialDocument(Array(text.utf8)) else {
            throw Failure(.helperFailed, what, why: "its answer is no JSON object with credentials")
        }
        if let code = document.code, code != "Success" {
            throw Failure(
                .helperFailed, what, why: Redaction.none.text("\(code): \(document.message ?? "")", limit: 300))
        }
        switch document.credentials(
            origin: "the role of this instance", renewal: "check the instance's role", mayOutliveEnd: true)
        {
        case .success(let credentials): return credentials
        case .failure(let missing): throw Failure(.helperFailed, what, why: missing.what)
        }
    }
}
