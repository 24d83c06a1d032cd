import AWS
import ControlProtocol
import ControlServer
import SocketIO
import Transport
import Tunnels

/// What happens, as clients are told of it: subscribers at once, and the last few whoever asks later. Confined to the
/// control loop.
///
/// An event is a small value that is made in any case and kept in a ring; it is written as JSON only while somebody has
/// subscribed.
final class EventFeed {
    /// Events that are kept: enough to see what happened around a fault, and about 100 KiB.
    static let capacity = 100

    /// Set once the server exists, which needs the parts that tell of events.
    weak var server: ControlServer?
    /// Told of each event.
    var onEvent: ((ControlEvent) -> Void)?
    private var ring: [ControlEvent] = []
    private var oldest = 0

    /// What is kept, oldest first.
    var recent: [ControlEvent] { Array(ring[oldest...] + ring[..<oldest]) }

    // MARK: What can happen

    func added(_ forward: Forward, on loop: isolated Loop) {
        var event = ControlEvent(.forwardAdded, at: .now())
        event.forward = ForwardInfo(forward, tunnels: 0)
        tell(event, on: loop)
    }

    func removed(_ forward: Forward, tunnels: Int, on loop: isolated Loop) {
        var event = ControlEvent(.forwardRemoved, at: .now())
        event.forward = ForwardInfo(forward, tunnels: tunnels)
        tell(event, on: loop)
    }

    func changed(_ forward: Forward, was oldName: String, tunnels: Int, on loop: isolated Loop) {
        var event = ControlEvent(.forwardChanged, at: .now())
        event.forward = ForwardInfo(forward, tunnels: tunnels)
        event.was = oldName
        tell(event, on: loop)
    }

    func opened(_ tunnel: TunnelHandle, on loop: isolated Loop) {
        var event = ControlEvent(.tunnelOpened, at: .now())
        event.tunnel = TunnelInfo(tunnel)
        tell(event, on: loop)
    }

    func closed(_ end: EndedTunnel, on loop: isolated Loop) {
        var event = ControlEvent(.tunnelClosed, at: .now())
        event.tunnel = TunnelInfo(end.handle)
        event.reason = end.reason.sentence
        event.reasonCode = end.reason.code.rawValue
        event.orderly = end.reason.isOrderly
        event.failure = end.reason.failure
        tell(event, on: loop)
    }

    func expiring(_ tunnel: TunnelHandle, in left: Duration, on loop: isolated Loop) {
        var event = ControlEvent(.tunnelExpiring, at: .now())
        event.tunnel = TunnelInfo(tunnel)
        event.expiresIn = Int(left.components.seconds)
        tell(event, on: loop)
    }

    func full(_ pool: GatewayPool, _ reserve: GatewayReserve?, on loop: isolated Loop) {
        var event = ControlEvent(.endpointFull, at: .now())
        event.endpoint = EndpointInfo(pool, reserve: reserve, lastFailure: nil)
        tell(event, on: loop)
    }

    func crossedZone(_ tunnel: TunnelHandle, _ sentence: String, on loop: isolated Loop) {
        var event = ControlEvent(.zoneCrossed, at: .now())
        event.tunnel = TunnelInfo(tunnel)
        event.reason = sentence
        tell(event, on: loop)
    }

    func refused(_ refused: RefusedConnection, _ count: Int, by forward: Forward, on loop: isolated Loop) {
        var event = ControlEvent(.connectionRefused, at: Timestamp(refused.at))
        event.forward = ForwardInfo(forward, tunnels: 0)
        event.failure = refused.refusal.failure(of: forward.specification.name)
        event.refused = count
        tell(event, on: loop)
    }

    func needsLogin(_ login: NeededLogin, on loop: isolated Loop) {
        var event = ControlEvent(.loginNeeded, at: .now())
        event.login = login
        tell(event, on: loop)
    }

    /// For the credentials, which tell from any thread.
    func loginObserver(on loop: isolated Loop) -> CredentialChain.LoginObserver {
        let bound = LoopBound(self, on: loop)
        return { profile, failure in
            guard let failure else { return }
            bound.loop.submit { loop in
                bound.get(on: loop).needsLogin(NeededLogin(profile: profile, failure), on: loop)
            }
        }
    }

    private func tell(_ event: ControlEvent, on loop: isolated Loop) {
        if ring.count < Self.capacity {
            ring.append(event)
        } else {
            ring[oldest] = event
            oldest = (oldest + 1) % Self.capacity
        }
        server?.publish(event, on: loop)
        onEvent?(event)
    }
}
