/// What was wrong with a signature that AWS refused, where signing again can put it right.
import Basics

public enum SignatureFlaw: Sendable, Hashable {
    /// The time it was made at: AWS's own is this.
    case clock(WallTime)
    /// The credentials have expired.
    case credentials

    /// Seconds around its own time within which AWS takes a signature at all (IAM User Guide, "Elements of an AWS API request
    /// signature": five minutes).
    private static let window: Int64 = 300

    /// Reads the flaw out of an error answer.
    ///
    /// - Parameters:
    ///   - signedAt: the time that the request carried.
    ///   - serverTime: the answer's Date.
    public init?(_ error: ServiceError, signedAt: WallTime, serverTime: WallTime?, credentials: Credentials?) {
        let difference = serverTime.map { abs($0.secondsSinceEpoch - signedAt.secondsSinceEpoch) } ?? 0
        switch error.classification {
        case .expiredCredentials: self = .credentials
        case .clockSkew:
            if let serverTime, difference > SigningClock.tolerance {
                self = .clock(serverTime)
            } else if error.meansExpiredToken(of: credentials) {
                self = .credentials
            } else {
                return nil
            }
        case .accessDenied:
            // Some services only say that the signature is wrong; so far off, no signature is right.
            guard let serverTime, difference > Self.window else { return nil }
            self = .clock(serverTime)
        default: return nil
        }
    }
}
