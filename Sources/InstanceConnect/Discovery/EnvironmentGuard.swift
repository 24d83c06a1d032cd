import AWS
import Failures

/// The daemon does not see the shell's environment. Where the caller has keys there and names no profile, it means them; the
/// daemon must not use another account in their place.
public enum EnvironmentGuard {
    /// Compares the caller's key id (an identifier, no secret) with the daemon's own.
    /// - Throws: `.foreignCredentials` where they differ and no profile decides.
    public static func check(
        callerKeyID: String?, profile: String?, environment: Environment
    ) throws(Failure) {
        guard let callerKeyID, !callerKeyID.isEmpty, profile == nil else { return }
        let own = environment["AWS_ACCESS_KEY_ID"]
        guard own != callerKeyID else { return }
        let daemon = own.map { "eiced has \(Credentials.shorten(keyID: $0))" } ?? "eiced has none"
        throw Failure(
            .foreignCredentials,
            "AWS_ACCESS_KEY_ID of your environment (\(Credentials.shorten(keyID: callerKeyID))) is not the daemon's",
            why: "\(daemon), and secrets are not sent to it",
            hint: "name a profile with --profile, or give the daemon these variables: "
                + "systemctl --user set-environment, then restart eiced")
    }
}
