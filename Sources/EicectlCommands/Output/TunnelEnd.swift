import ControlClient
import ControlCodec
import ControlProtocol
import Descriptors
import EicectlProxy
import Failures

/// How a tunnel ended. The stream itself carries no reason: an end of file looks the same after a log-out and after the
/// hour that the service allows. So the daemon is asked, when the stream is over and only then.
struct TunnelEnd {
    /// The tunnel's id; nil where the daemon did not name it.
    private let id: String?
    private let parameters: ConnectParameters
    private let path: String
    /// The close handshake with the endpoint takes two seconds at most, and the reason is told after it.
    private static let patience = Duration.seconds(3)

    /// - Parameters:
    ///   - answer: the line in which the daemon told of the tunnel.
    ///   - request: what it was opened for.
    init(ofTunnelIn answer: some Collection<UInt8>, for request: ProxyRequest) {
        id = try? ControlWire.decode(ResultEnvelope<ConnectResult>.self, from: answer).result.tunnel
        parameters = request.parameters
        path = request.path
    }

    /// Returns if the tunnel ended as its two sides wanted. To be called once our own end of the stream is closed.
    ///
    /// - Parameter outcome: what was seen of the end.
    /// - Throws: what the tunnel failed with, why it was cut, or that the daemon is gone, which cuts it as well.
    func check(_ outcome: TunnelOutcome) throws(Failure) {
        if let event = try closed() {
            if let failure = event.failure { throw failure }
            if event.orderly == false { throw Self.cut(parameters, why: event.reason ?? "it was closed") }
        }
        switch outcome {
        case .ended: break
        case .silent:
            throw Failure(
                .targetUnreachable, "no answer from \(parameters.target) port \(parameters.remotePort)",
                why: "the tunnel was closed before a byte came",
                hint: "eicectl events says more; sshd and the security groups are the usual suspects")
        case .failed(let code):
            throw Failure(
                .connectionLost, "lost the tunnel to \(parameters.target)",
                why: SystemError("read from the tunnel", code: code).reason)
        }
    }

    /// Nil where the daemon answers but does not know.
    private func closed() throws(Failure) -> ControlEvent? {
        guard let id else { return nil }
        let client: ControlClient
        do throws(Failure) {
            client = try ControlClient(path: path, client: Eicectl.name)
            // In this order nothing falls between the two.
            try client.call(Methods.EventsSubscribe.self, EventsSubscribeParameters(events: [.tunnelClosed]))
            let recent = try client.call(
                Methods.EventsRecent.self, EventsRecentParameters(events: [.tunnelClosed]))
            if let event = recent.events.last(where: { $0.tunnel?.id == id }) { return event }
        } catch {
            throw Self.cut(parameters, why: error.sentence)
        }
        let deadline = ContinuousClock.now + Self.patience
        while true {
            let event: ControlEvent?
            do throws(Failure) {
                event = try client.nextEvent(until: deadline)
            } catch {
                return nil
            }
            guard let event else { throw Self.cut(parameters, why: "eiced ended") }
            if event.tunnel?.id == id { return event }
        }
    }

    private static func cut(_ parameters: ConnectParameters, why: String) -> Failure {
        Failure(.connectionLost, "the tunnel to \(parameters.target) port \(parameters.remotePort) was cut", why: why)
    }
}
