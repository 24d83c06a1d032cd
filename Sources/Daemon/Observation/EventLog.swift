import ControlProtocol
import Failures
import Logging

/// Entries for those events that nobody else logs.
enum EventLog {
    static func note(_ event: ControlEvent, _ logger: Logger) {
        switch event.event {
        case .tunnelExpiring:
            guard let tunnel = event.tunnel, let left = event.expiresIn else { return }
            logger.info(
                "the tunnel ends in \(DurationText.format(.seconds(left)))",
                metadata: [
                    "event": "tunnel-expiring", "tunnel": "\(tunnel.id)",
                    "target": "\(tunnel.target):\(tunnel.remotePort)",
                    "endpoint": "\(tunnel.endpoint ?? "-")", "forward": "\(tunnel.forward ?? "-")",
                ])
        case .endpointFull:
            guard let endpoint = event.endpoint else { return }
            logger.notice(
                "no slot is free, connections wait: \(endpoint.slots.inUse) of \(endpoint.slots.cap) are in use",
                metadata: ["event": "endpoint-full", "endpoint": "\(endpoint.id)", "region": "\(endpoint.region)"])
        case .loginNeeded:
            guard let login = event.login else { return }
            logger.warning(
                "a log-in is needed: \(login.command)",
                metadata: ["event": "login-needed", "profile": "\(login.profile ?? "-")"])
        default: break
        }
    }
}
