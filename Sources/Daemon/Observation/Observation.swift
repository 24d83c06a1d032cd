import AWS
import Basics
import ControlProtocol
import Glibc
import InstanceConnect
import Logging
import SocketIO
import Transport
import Tunnels

/// Everything that looks on: events, counters, the audit. Confined to the control loop.
final class Observation {
    let feed: EventFeed
    let probes = ForwardProbes()
    let audit: AuditLog
    private let context: AWSContext
    private var tally = Tally()
    private var crossings = ZoneCrossings()
    private let logger: Logger
    private let began = Timestamp.now()

    init(feed: EventFeed, audit: AuditLog, context: AWSContext, logger: Logger) {
        self.logger = logger
        self.feed = feed
        self.audit = audit
        self.context = context
    }

    /// Wires the parts that tell of what happens. Comes before the first forward is added.
    func listen(to forwards: ForwardTable, _ tunnels: TunnelTable, _ pools: GatewayPools, on loop: isolated Loop) {
        forwards.onAdd = { [feed] in feed.added($0, on: loop) }
        forwards.onRemove = { [feed, unowned tunnels] forward in
            let name = forward.specification.name
            feed.removed(forward, tunnels: tunnels.all.count { $0.request.forward == name }, on: loop)
        }
        forwards.onChange = { [feed, unowned tunnels] forward, oldName in
            let name = forward.specification.name
            feed.changed(forward, was: oldName, tunnels: tunnels.all.count { $0.request.forward == name }, on: loop)
        }
        forwards.onRefusal = { [unowned self] forward, refused, toTell in
            tally.note(refused.refusal)
            if let toTell { feed.refused(refused, toTell, by: forward, on: loop) }
        }
        forwards.onGone = { [unowned self] in tally.noteGone() }
        tunnels.onOpen = { [unowned self] handle, timings in
            for part in timings.parts { tally.note(connecting: part.length, phase: part.name) }
            feed.opened(handle, on: loop)
            _ = sayCrossing(handle, on: loop)
        }
        tunnels.onExpiring = { [feed] in feed.expiring($0, in: $1, on: loop) }
        tunnels.onEnd = { [unowned self, unowned forwards] end in
            forwards.note(end)
            ended(end, on: loop)
        }
        pools.onFull = { [feed, unowned tunnels] pool in
            feed.full(pool, tunnels.reserve(of: pool, on: loop), on: loop)
        }
    }

    /// Says once of each endpoint and zone that a tunnel's traffic is billed. Returns what was said now.
    func sayCrossing(_ handle: TunnelHandle, on loop: isolated Loop) -> String? {
        guard let route = handle.snapshot.route, let sentence = crossings.note(route, at: .now) else { return nil }
        logger.notice("\(sentence)", metadata: ["tunnel": "\(handle.name)"])
        feed.crossedZone(handle, sentence, on: loop)
        return sentence
    }

    private func ended(_ end: EndedTunnel, on loop: isolated Loop) {
        tally.note(end)
        audit.append(AuditRecord(end, at: .now(), now: .now, daemon: Int(getpid())))
        feed.closed(end, on: loop)
        probes.note(end, on: loop)
    }

    /// Adds to a status what only others know: how the credentials of `identities` stand. `completion` comes on the loop.
    func complete(
        _ status: StatusResult, identities: Set<RoutedIdentity>, on loop: isolated Loop,
        completion: @escaping (StatusResult) -> Void
    ) {
        var status = status
        status.audit = audit.info
        let partial = status
        let context = context
        let home = LoopBound(completion, on: loop)
        Task {
            var complete = partial
            var entries: [CredentialInfo] = []
            for identity in identities.sorted() {
                let chain = context.under(identity.environment).credentials
                let end = await chain.expiration(profile: identity.profile)
                entries.append(
                    CredentialInfo(
                        profile: identity.profile, environment: identity.environment?.values,
                        expiresAt: end.map(Timestamp.init)))
                if let failure = await chain.neededLogin(profile: identity.profile) {
                    complete.needsLogin.append(NeededLogin(profile: identity.profile, failure))
                }
            }
            complete.credentials = entries
            let result = complete
            home.loop.submit { loop in home.get(on: loop)(result) }
        }
    }

    /// The metrics that a complete status and the counters come to.
    func metrics(_ status: StatusResult) -> String { Metrics.text(status, tally, began: began) }
}

/// Whose credentials a forward or a tunnel uses.
struct RoutedIdentity: Hashable, Comparable, Sendable {
    let profile: String?
    let environment: EnvironmentOverlay?

    init(_ route: RouteRequest) {
        profile = route.profile
        environment = route.environment
    }

    /// By profile, then by the variables of the shell.
    static func < (one: RoutedIdentity, other: RoutedIdentity) -> Bool {
        one.order.lexicographicallyPrecedes(other.order)
    }

    private var order: [String] {
        [profile ?? ""] + (environment?.values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } ?? [])
    }
}
