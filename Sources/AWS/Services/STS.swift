import Basics
import Failures

/// The calls of AWS STS (version 2011-06-15) that turn one identity into another.
struct STS: Sendable {
    private let client: QueryClient

    /// Called in the region that environment or profile configure, else in us-east-1, whose endpoint serves the partition's
    /// roles; a role of another partition names it by its ARN.
    init(call: CallContext, roleARN: String, authorization: QueryClient.Authorization) {
        client = QueryClient(
            call: call, service: .sts, version: "2011-06-15", region: call.region ?? Self.region(of: roleARN),
            authorization: authorization)
    }

    /// `arguments` are the parameters beside the role.
    func assumeRole(
        _ arguments: [(String, String)], renewal: String, origin: String, purpose: String
    ) async throws(Failure) -> Credentials {
        let answer = try await client.call("AssumeRole", arguments, purpose: purpose)
        return try Self.credentials(answer.root, renewal: renewal, origin: origin, purpose: purpose)
    }

    func assumeRoleWithWebIdentity(
        _ arguments: [(String, String)], renewal: String, origin: String, purpose: String
    ) async throws(Failure) -> Credentials {
        let answer = try await client.call("AssumeRoleWithWebIdentity", arguments, purpose: purpose)
        return try Self.credentials(answer.root, renewal: renewal, origin: origin, purpose: purpose)
    }

    private static func credentials(
        _ answer: XMLNode, renewal: String, origin: String, purpose: String
    ) throws(Failure) -> Credentials {
        guard let found = answer.first("Credentials"), let keyID = found.value("AccessKeyId"),
            let secret = found.value("SecretAccessKey"),
            let end = found.value("Expiration").flatMap({ WallTime(rfc3339: $0) })
        else {
            throw Failure(.protocolMismatch, "cannot \(purpose)", why: "the answer of STS holds no credentials")
        }
        return Credentials(
            accessKeyID: keyID, secretAccessKey: secret, sessionToken: found.value("SessionToken"), expiration: end,
            origin: origin, renewal: renewal)
    }

    /// The region that serves a role where no region is configured.
    private static func region(of roleARN: String) -> String {
        let parts = roleARN.split(separator: ":", omittingEmptySubsequences: false)
        return switch parts.count > 1 ? parts[1] : "" {
        case "aws-cn": "cn-north-1"
        case "aws-us-gov": "us-gov-west-1"
        case "aws-eusc": "eusc-de-east-1"
        case "aws-iso": "us-iso-east-1"
        case "aws-iso-b": "us-isob-east-1"
        case "aws-iso-e": "eu-isoe-west-1"
        case "aws-iso-f": "us-isof-south-1"
        default: "us-east-1"
        }
    }
}
