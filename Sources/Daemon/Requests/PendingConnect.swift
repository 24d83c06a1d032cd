import ControlProtocol
import ControlServer
import Failures
import SocketIO
import Tunnels

/// A `connect` under way: joins the session that asked to the tunnel that is being opened, and tells it meanwhile what a person who
/// waits should know. Confined to the control loop.
final class PendingConnect: TunnelClient, ConnectAttempt {
    private let client: ConnectClient
    /// What is to be said once of a tunnel's way, nil where that is nothing.
    private let crossing: (TunnelHandle) -> String?
    /// Set once the tunnel has begun.
    private var handle: TunnelHandle?
    private var isOver = false
    private var impatience: Deadline?

    /// A wait for a slot that is worth a word.
    private static let patience = Duration.seconds(1)

    init(_ client: ConnectClient, crossing: @escaping (TunnelHandle) -> String?) {
        self.client = client
        self.crossing = crossing
    }

    /// The tunnel has begun.
    func follow(_ handle: TunnelHandle, on loop: isolated Loop) {
        self.handle = handle
        guard client.wantsNotices, !isOver else { return }
        impatience = loop.schedule(after: Self.patience) { [weak self] in self?.tellOfQueue(on: loop) }
    }

    func cancel(on loop: isolated Loop) {
        end(on: loop)
        handle?.close(.clientLeft)
    }

    func tunnelOpened(_ handle: TunnelHandle, on loop: isolated Loop) -> LocalStream? {
        guard !isOver else { return nil }
        end(on: loop)
        if let sentence = crossing(handle) { client.tell(ConnectNotice(.zone, sentence), on: loop) }
        let snapshot = handle.snapshot
        let result = ConnectResult(
            tunnel: handle.name, handoff: client.wantsDescriptor, address: snapshot.route?.address,
            endpoint: snapshot.route?.path.gateway.id, requestID: snapshot.requestID)
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
        end(on: loop)
        let fallback = Failure(.shuttingDown, "the tunnel was closed before it was open", why: reason.sentence)
        client.fail(reason.failure ?? fallback, on: loop)
    }

    func tunnelNeedsLogin(_ failure: Failure, on loop: isolated Loop) {
        guard !isOver else { return }
        client.tell(
            ConnectNotice(.login, "\(failure.sentence); waiting until that is done", hint: failure.hint), on: loop)
    }

    private func tellOfQueue(on loop: isolated Loop) {
        impatience = nil
        guard !isOver, let handle, handle.snapshot.waitsFor == .slot, let route = handle.snapshot.route else { return }
        let endpoints = ListText.brief(route.candidates.map(\.gateway.id), separator: " or ")
        client.tell(
            ConnectNotice(
                .slot, "all slots are taken; waiting for one of \(endpoints)",
                hint: "eicectl status shows who holds the slots"), on: loop)
    }

    private func end(on loop: isolated Loop) {
        isOver = true
        if let impatience { loop.cancel(impatience) }
        impatience = nil
    }
}
