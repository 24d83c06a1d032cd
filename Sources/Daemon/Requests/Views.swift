import AWS
import Basics
import ControlProtocol
import Failures
import InstanceConnect
import SocketIO
import Transport
import Tunnels

// The daemon's state as clients see it.

extension Timestamp {
    init(_ time: WallTime) { self.init(milliseconds: time.secondsSinceEpoch * 1_000) }
}

extension TunnelInfo {
    init(_ handle: TunnelHandle) {
        let snapshot = handle.snapshot
        let state: State =
            switch snapshot.state {
            case .queued: .queued
            case .dialing: .dialing
            case .warm: .warm
            case .open: .open
            case .draining, .closed: .draining
            }
        self.init(
            id: handle.name, forward: handle.request.forward, target: handle.request.route.target.description,
            remotePort: handle.request.route.remotePort, address: snapshot.route?.address,
            endpoint: snapshot.route?.path.gateway.id, state: state, since: Timestamp(snapshot.since),
            bytesLocalToRemote: handle.statistics.localToRemote, bytesRemoteToLocal: handle.statistics.remoteToLocal,
            requestID: snapshot.requestID, peer: handle.peer, expiresAt: snapshot.expiresAt.map(Timestamp.init),
            liveness: snapshot.answersPings ? .alive : .unknown,
            roundTripMilliseconds: snapshot.roundTrip.map { $0 / .milliseconds(1) },
            waitsFor: snapshot.waitsFor.map(Wait.init))
    }
}

extension TunnelInfo.Wait {
    init(_ wait: TunnelHandle.Wait) {
        self =
            switch wait {
            case .lookup: .lookup
            case .login: .login
            case .slot: .slot
            }
    }
}

extension NeededLogin {
    /// - Parameter failure: whose hint is what to run.
    init(profile: String?, _ failure: Failure) {
        self.init(profile: profile, command: failure.hint ?? failure.sentence)
    }
}

extension FailureRecord {
    /// Nil for a tunnel that ended without a failure.
    init?(_ end: EndedTunnel) {
        guard let failure = end.reason.failure else { return nil }
        let subject = end.handle.request.forward ?? end.handle.request.targetText
        self.init(when: Timestamp(end.at), failure: failure, subject: subject)
    }

    /// The last connection that a forward refused; nil where it refused none.
    init?(refusedBy forward: Forward) {
        guard let refused = forward.lastRefused else { return nil }
        let name = forward.specification.name
        self.init(when: Timestamp(refused.at), failure: refused.refusal.failure(of: name), subject: name)
    }

    static func latest(_ records: [FailureRecord?]) -> FailureRecord? {
        records.compactMap(\.self).max { $0.when.milliseconds < $1.when.milliseconds }
    }
}

extension ForwardInfo {
    init(_ forward: Forward, tunnels: Int) {
        let specification = forward.specification
        self.init(
            name: specification.name, target: specification.route.target.description,
            remotePort: specification.route.remotePort, addresses: forward.addresses.map(\.description),
            profile: specification.route.profile, region: specification.route.region,
            environment: specification.route.environment?.values, endpoint: specification.route.endpointID,
            state: forward.listenFailure == nil ? .listening : .failed,
            lastFailure: forward.listenFailure.map { FailureRecord(when: Timestamp($0.since), failure: $0.failure) }
                ?? FailureRecord.latest(
                    [forward.lastFailure.flatMap(FailureRecord.init), FailureRecord(refusedBy: forward)]),
            tunnels: tunnels,
            maxDuration: Int(specification.maxDuration.components.seconds),
            idleTimeout: specification.idleTimeout.map { Int($0.components.seconds) },
            ephemeral: specification.isEphemeral,
            priority: specification.priority == .interactive ? .interactive : .normal,
            origin: specification.origin == .configuration ? .configuration : .request,
            remoteAllowed: specification.allowsRemoteClients, refused: forward.refused)
    }
}

extension EndpointInfo {
    init(_ pool: GatewayPool, reserve: GatewayReserve?, lastFailure: EndedTunnel?) {
        self.init(
            id: pool.gateway.id, dnsName: pool.host ?? "", region: pool.gateway.region,
            slots: Slots(
                inUse: pool.inUse + pool.taken, cap: pool.effectiveCap, limit: pool.cap,
                refusedSince: pool.refusedSince.map(Timestamp.init), warm: pool.warm), queued: pool.queued,
            lastFailure: lastFailure.flatMap(FailureRecord.init), spares: Spares(reserve),
            totals: Totals(
                waited: pool.totals.waited, turnedAway: pool.totals.turnedAway,
                refusedAsFull: pool.totals.refusedAsFull))
    }
}

extension EndpointInfo.Spares {
    init(_ reserve: GatewayReserve?) {
        let pause = reserve?.pausedFor
        self.init(
            ready: reserve?.ready ?? 0,
            pausedUntil: pause.map { Timestamp.now().adding(seconds: Int($0.components.seconds)) },
            why: pause.map { _ in "the service closed two that nobody had used within 5 s" })
    }
}
