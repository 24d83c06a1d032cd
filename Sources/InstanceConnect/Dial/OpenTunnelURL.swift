import AWS
import Basics
import Failures
import Transport

/// The presigned address of one tunnel: `GET /openTunnel?…` at the endpoint's DNS name. It is signed afresh for every
/// connection and good for 60 seconds. `pathAndQuery` is a secret; the description is not.
///
/// The form is that of the AWS CLI's `ec2-instance-connect open-tunnel`: service `ec2-instance-connect`, signed header
/// `host` alone, the hash of an empty body.
public struct OpenTunnelURL: Sendable {
    /// The endpoint's DNS name: for SNI, the certificate check and the Host header.
    public let host: String
    public let port: UInt16
    /// What the request line has. Secret: whoever has it can open this tunnel.
    public let pathAndQuery: String
    /// What makes the address a secret.
    public var signature: String? { pathAndQuery.split(separator: "X-Amz-Signature=").last.map(String.init) }
    /// The time that the signature carries.
    public let signedAt: WallTime
    private let summary: String

    /// Seconds that a signature is good for.
    public static let lifetime = 60

    /// `maxDuration` is in seconds and is always sent, since policies test it; it is brought into the service's range.
    public init(route: Route, maxDuration: Int, credentials: Credentials, at time: WallTime) {
        let range = ServiceLimits.tunnelSeconds
        let duration = min(max(maxDuration, range.lowerBound), range.upperBound)
        let endpoint = EndpointName(route.path)
        let host = endpoint.host.port == 443 ? endpoint.host.host : "\(endpoint.host.host):\(endpoint.host.port)"
        let signer = RequestSigner(credentials: credentials, region: route.region, service: "ec2-instance-connect")
        let query = signer.presignedQuery(
            host: host,
            path: Self.path,
            parameters: [
                ("instanceConnectEndpointId", endpoint.id),
                ("remotePort", String(route.remotePort)),
                ("privateIpAddress", route.address),
                ("maxTunnelDuration", String(duration)),
            ],
            lifetime: Self.lifetime,
            at: time)
        self.host = endpoint.host.host
        port = endpoint.host.port
        signedAt = time
        pathAndQuery = "\(Self.path)?\(query)"
        summary =
            "wss://\(host)\(Self.path) to \(route.address):\(route.remotePort) through \(endpoint.id) "
            + "for at most \(duration) s, signed with \(credentials.shortKeyID)"
    }

    /// The Host header, as it was signed.
    public var hostHeader: String { port == 443 ? host : "\(host):\(port)" }

    private static let path = "/openTunnel"
}

extension OpenTunnelURL: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { summary }
    public var debugDescription: String { summary }
    public var customMirror: Mirror { Mirror(self, children: ["summary": summary]) }
}
