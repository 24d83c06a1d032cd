import AWS
import Failures
import OpenSSL
import Transport

/// Turns what a user named into what can be dialed, and signs each dial. The daemon fulfils it with discovery and
/// credentials; it is a protocol so that a dial can be tested without them.
public protocol InstanceConnectRouter: Sendable {
    func resolve(_ request: RouteRequest) async throws(Failure) -> Route
    /// Gets what signing needs before a dial asks for a slot: a source of credentials that hangs or needs a user holds
    /// none, and no endpoint is blamed for it. Returns what signs without waiting, for a dial that follows soon, if there
    /// is such a thing.
    func prepareToSign(_ request: RouteRequest) async throws(Failure) -> TunnelSigner?
    /// Trust roots for the dial; nil means the daemon's default.
    func trust(_ request: RouteRequest) async throws(Failure) -> TLSContext?
    /// What the three above wait for, if they take long and it is known. At once, from any thread.
    func awaited(by request: RouteRequest) -> AwaitedPart?
    /// - Parameter maxDuration: seconds, within ``ServiceLimits/tunnelSeconds``.
    func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel
    /// Corrects what an endpoint refused about a signature: a clock that is off, credentials that have expired. Returns
    /// whether a dial that is signed again may be accepted.
    func correct(_ refusal: Refusal, of signed: SignedTunnel, for request: RouteRequest) async throws(Failure) -> Bool
    /// Returns when the identity of a request can sign again, after a user has logged in.
    func awaitLogin(_ request: RouteRequest) async throws(Failure)
    /// What is known of the target may be wrong: the next `resolve` looks it up again.
    func forget(_ request: RouteRequest) async
}

/// Signs at once, for a life of so many seconds (``ServiceLimits/tunnelSeconds``); nil if the credentials have expired.
public typealias TunnelSigner = @Sendable (_ route: Route, _ maxDuration: Int) -> SignedTunnel?

extension InstanceConnectRouter {
    public func trust(_ request: RouteRequest) async throws(Failure) -> TLSContext? { nil }
}

/// A signed request for one tunnel. Secret: it must not be logged.
public struct SignedTunnel: Sendable {
    public let url: OpenTunnelURL
    /// The identity that signed, for the sentences about refusals.
    public let credentials: Credentials

    public init(url: OpenTunnelURL, credentials: Credentials) {
        self.url = url
        self.credentials = credentials
    }

    /// Texts to hide in everything that repeats the request: the token, the signature and the key's id.
    var secrets: [String?] { [credentials.sessionToken, url.signature, credentials.accessKeyID] }
}
