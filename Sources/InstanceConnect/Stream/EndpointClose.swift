import AWS
import Basics
import Failures
import Transport

/// A WebSocket close frame of an endpoint (RFC 6455, section 7.4). Of its reasons only "Unable to connect to target" is known;
/// all are kept verbatim.
public struct EndpointClose: Sendable, Hashable {
    /// Nil for a close frame without a code.
    public let code: UInt16?
    /// On one line, without secrets.
    public let reason: String

    /// - Parameter redaction: knows what was sent and must not be shown, should the reason repeat it.
    public init(code: UInt16?, reason: String, redaction: Redaction = .none) {
        self.code = code
        self.reason = redaction.text(reason, limit: 200)
    }

    /// Whether the endpoint could not reach the target: what is known of the target should be looked up anew.
    public var isTargetUnreachable: Bool { reason.lowercased().contains("unable to connect to target") }

    /// Whether the tunnel ended as tunnels do: the target closed, nothing is wrong.
    public var isNormal: Bool { !isTargetUnreachable && (code == nil || code == 1_000 || code == 1_001) }

    /// `1011 "Unable to connect to target"`.
    public var summary: String {
        let number = code.map(String.init) ?? "no code"
        return reason.isEmpty ? number : "\(number) \"\(reason)\""
    }

    /// The close as people read it; nil for a normal one.
    public func failure(route: Route) -> Failure? {
        if isTargetUnreachable {
            return Failure(
                .targetUnreachable, "cannot reach \(route.targetDescription) port \(route.remotePort)",
                why: "\(route.path.gateway.id) says \(summary)",
                hint:
                    "check that the service listens on the port, that the instance's security group lets the endpoint in, "
                    + "and that the endpoint's group lets it out")
        }
        guard !isNormal else { return nil }
        return Failure(
            .connectionLost, "endpoint \(route.path.gateway.id) closed the tunnel to \(route.targetDescription)",
            why: summary)
    }
}
