import Basics
import Failures

/// What a request is signed with. Its descriptions show a shortened key id and never a secret.
public struct Credentials: Sendable, Hashable {
    public let accessKeyID: String
    public let secretAccessKey: String
    /// Present with temporary credentials.
    public let sessionToken: String?
    /// When the service stops accepting them; nil where that is unknown (static keys).
    public let expiration: WallTime?
    /// Whether they are used past their end while their source has no newer ones: during an outage the service may accept
    /// them longer than their source said, so the service decides ("static stability", AWS SDKs and botocore).
    public let mayOutliveEnd: Bool
    /// Where they came from, for messages: "environment", "profile dev in /home/ann/.aws/credentials".
    public let origin: String
    /// What a person does when they have expired: a command or a sentence.
    public let renewal: String

    public init(
        accessKeyID: String,
        secretAccessKey: String,
        sessionToken: String? = nil,
        expiration: WallTime? = nil,
        mayOutliveEnd: Bool = false,
        origin: String = "the caller",
        renewal: String = "get new credentials"
    ) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.expiration = expiration
        self.mayOutliveEnd = mayOutliveEnd
        self.origin = origin
        self.renewal = renewal
    }

    /// The key id as messages may show it.
    public var shortKeyID: String { Self.shorten(keyID: accessKeyID) }

    /// `AKIAIOSFODNN7EXAMPLE` as `AKIA…MPLE`: enough to tell two keys apart.
    public static func shorten(keyID: String) -> String {
        keyID.count > 8 ? "\(keyID.prefix(4))…\(keyID.suffix(4))" : "…"
    }

    public func isExpired(at time: WallTime) -> Bool { expiration.map { $0 <= time } ?? false }
}

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "credentials \(shortKeyID) from \(origin)" }
    public var debugDescription: String { description }
    /// `dump` and string interpolation of an enclosing value reflect: they must not find the secrets either.
    public var customMirror: Mirror { Mirror(self, children: ["accessKeyID": shortKeyID, "origin": origin]) }
}

extension Failure {
    /// Credentials have reached their end, by our clock or by AWS's answer.
    public static func expired(_ credentials: Credentials, why: String = "") -> Failure {
        Failure(
            .expiredCredentials, "the credentials from \(credentials.origin) (\(credentials.shortKeyID)) have expired",
            why: why, hint: credentials.renewal)
    }
}
