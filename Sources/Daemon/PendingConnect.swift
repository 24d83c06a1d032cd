import ControlProtocol
import ControlServer
import Failures
import SocketIO
import Tunnels

/// A `connect` under way: joins the session that asked to the tunnel that is being opened. Confined to the control loop.
final class PendingConnect: TunnelClient, ConnectAttempt {
    private let client: ConnectClient
    /// Set once the tunnel has begun.
    var handle: TunnelHandle?
    private var isOver = false

    init(_ client: ConnectClient) { self.client = client }

    func cancel(on loop: isolated Loop) {
        isOver = true
        handle?.close(.clientLeft)
    }

    func tunnelOpened(_ handle: TunnelHandle, on loop: isolated Loop) -> LocalStream? {
        guard !isOver else { return nil }
        isOver = true
        let snapshot = handle.snapshot
        let result = ConnectResult(
            tunnel: handle.name, handoff: client.wantsDescriptor, address: snapshot.route?.address,
            endpoint: snapshot.route?.endpoint.id, requestID: snapshot.requestID)
        guard client.wantsDescriptor else {
            return client.takeStream(result, on: loop).map {
                LocalStream($0.descriptor, received: $0.received, greeting: $0.first)
            }
        }
        do throws(SystemError) {
            let (ours, theirs) = try FileDescriptor.socketPair()
            return client.pass(theirs, result, on: loop) ? LocalStream(ours) : nil
        } catch {
            client.fail(Failure(.internal, "cannot make a socket for the tunnel", why: error.reason), on: loop)
            return nil
        }
    }

    func tunnelFailed(_ reason: CloseReason, on loop: isolated Loop) {
        guard !isOver else { return }
        isOver = true
        let fallback = Failure(.shuttingDown, "the tunnel was closed before it was open", why: reason.sentence)
        client.fail(reason.failure ?? fallback, on: loop)
    }
}
