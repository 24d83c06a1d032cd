import ControlCodec
import Failures

@testable import ControlProtocol

/// One message of every kind, once bare and once with every field.
enum Samples {
    struct Request: Sendable, CustomStringConvertible {
        let method: String
        let request: ControlRequest
        let line: [UInt8]
        var description: String { String(decoding: line, as: UTF8.self) }

        init<Method: ControlMethod>(_ method: Method.Type, _ params: Method.Parameters, _ request: ControlRequest) {
            self.method = Method.name
            self.request = request
            line = (try? ControlWire.line(RequestEnvelope(method, id: .number(3), params))) ?? []
        }
    }

    struct Reply: Sendable, CustomStringConvertible {
        let method: String
        let line: [UInt8]
        var description: String { String(decoding: line, as: UTF8.self) }

        init<Method: ControlMethod>(_: Method.Type, _ value: Method.Value) {
            method = Method.name
            line = (try? ControlWire.line(ResultEnvelope(id: .string("x"), result: value))) ?? []
        }
    }

    static let time = Timestamp(milliseconds: 1_772_357_400_250)
    static let options = TunnelOptions(
        profile: "dev", region: "eu-west-1", endpoint: "eice-1", endpointDNSName: "eice-1.example", maxDuration: 3600,
        idleTimeout: 60, priority: .interactive,
        environment: CallerEnvironment(
            profile: "p", region: "r", defaultRegion: "d", accessKeyID: "AKIDEXAMPLE",
            variables: ["AWS_CONFIG_FILE": "/home/ü/\"c\"", "AWS_CA_BUNDLE": "/ca.pem"], files: ["AWS_CONFIG_FILE"]))
    static let record = FailureRecord(
        when: time, failure: Failure(.targetUnreachable, "cannot reach i-1", why: "closed", hint: "look"),
        subject: "web")
    static let forward = ForwardInfo(
        name: "web", target: "i-1", remotePort: 22, addresses: ["127.0.0.1:2222", "[::1]:2222"], profile: "dev",
        region: "eu-west-1", environment: ["AWS_CONFIG_FILE": "/c"], endpoint: "eice-1", state: .failed,
        lastFailure: record, tunnels: 2, maxDuration: 3600,
        idleTimeout: 600, ephemeral: true, priority: .interactive, origin: .configuration, remoteAllowed: true,
        refused: 3)
    static let bareForward = ForwardInfo(
        name: "db", target: "10.0.0.1", remotePort: 3389, addresses: ["/tmp/db.sock"], maxDuration: 60)
    static let tunnel = TunnelInfo(
        id: "t1", forward: "web", target: "i-1", remotePort: 22, address: "10.0.0.1", endpoint: "eice-1", state: .open,
        since: time, bytesLocalToRemote: 1, bytesRemoteToLocal: .max >> 1, requestID: "r", peer: "127.0.0.1:5",
        expiresAt: time.adding(seconds: 60), liveness: .alive, roundTripMilliseconds: 12.5)
    static let bareTunnel = TunnelInfo(
        id: "t2", target: "i-2", remotePort: 22, state: .queued, since: time, peer: "uid 1000 pid 7", waitsFor: .login)
    static let endpoint = EndpointInfo(
        id: "eice-1", dnsName: "eice-1.example", region: "eu-west-1", slots: .init(inUse: 3, cap: 20), queued: 1,
        lastFailure: record, spares: .init(ready: 1, pausedUntil: time, why: "short-lived"),
        totals: .init(waited: 3, turnedAway: 2, refusedAsFull: 1))

    // Computed for the leak sanitizer's sake, as AutobahnTests' cases are.
    static var requests: [Request] {
        let hello = HelloParameters(client: "test 1")
        let bareAdd = ForwardAddParameters(target: "i-1", mappings: [Mapping(remotePort: 22)])
        let add = ForwardAddParameters(
            name: "web", target: "i-1",
            mappings: [
                Mapping(remotePort: 22, local: .port(2222)), Mapping(remotePort: 3389, local: .path("/tmp/a \"b\"")),
            ], bind: "0.0.0.0", allowRemote: true, options: options, warm: 1, ephemeral: true)
        let bareSet = ForwardSetParameters(forward: "web")
        let set = ForwardSetParameters(
            forward: "web", name: "bastion", target: "i-2", remotePort: 23, local: .port(0), bind: "127.0.0.1",
            allowRemote: false, warm: 2, ephemeral: false, options: options,
            unset: ForwardSetParameters.Setting.allCases)
        let remove = ForwardRemoveParameters(names: ["web", "db"])
        let close = TunnelCloseParameters(ids: ["t1"])
        let bareConnect = ConnectParameters(target: "i-1", remotePort: 22)
        let connect = ConnectParameters(
            target: "näme", remotePort: 3389, handoff: true, notices: true, options: options)
        return [
            Request(Methods.Hello.self, hello, .hello(hello)),
            Request(Methods.ForwardAdd.self, bareAdd, .forwardAdd(bareAdd)),
            Request(Methods.ForwardAdd.self, add, .forwardAdd(add)),
            Request(Methods.ForwardSet.self, bareSet, .forwardSet(bareSet)),
            Request(Methods.ForwardSet.self, set, .forwardSet(set)),
            Request(Methods.ForwardRemove.self, remove, .forwardRemove(remove)),
            Request(Methods.ForwardList.self, NoParameters(), .forwardList),
            Request(Methods.TunnelList.self, .init(), .tunnelList(.init())),
            Request(Methods.TunnelList.self, .init(forward: "web"), .tunnelList(.init(forward: "web"))),
            Request(Methods.TunnelClose.self, close, .tunnelClose(close)),
            Request(Methods.EndpointList.self, NoParameters(), .endpointList),
            Request(Methods.Status.self, NoParameters(), .status),
            Request(Methods.Connect.self, bareConnect, .connect(bareConnect)),
            Request(Methods.Connect.self, connect, .connect(connect)),
            Request(Methods.EventsSubscribe.self, .init(), .eventsSubscribe(.init())),
            Request(
                Methods.EventsSubscribe.self, .init(events: [.tunnelClosed]),
                .eventsSubscribe(.init(events: [.tunnelClosed]))),
            Request(Methods.EventsRecent.self, .init(), .eventsRecent(.init())),
            Request(
                Methods.EventsRecent.self, .init(events: [.tunnelOpened]),
                .eventsRecent(.init(events: [.tunnelOpened]))),
            Request(Methods.ForwardProbe.self, .init(name: "web"), .forwardProbe(.init(name: "web"))),
            Request(
                Methods.ForwardProbe.self, .init(name: "web", timeout: 60),
                .forwardProbe(.init(name: "web", timeout: 60))),
            Request(Methods.ProfileList.self, NoParameters(), .profileList),
            Request(Methods.TargetList.self, .init(), .targetList(.init())),
            Request(
                Methods.TargetList.self, .init(options: options), .targetList(.init(options: options))),
            Request(Methods.Metrics.self, NoParameters(), .metrics),
            Request(Methods.Reload.self, NoParameters(), .reload),
            Request(Methods.Shutdown.self, .init(drain: 30), .shutdown(.init(drain: 30))),
            Request(
                Methods.Shutdown.self, .init(handover: true, successor: "/run/user/1000/eiced/next"),
                .shutdown(.init(handover: true, successor: "/run/user/1000/eiced/next"))),
        ]
    }

    static let replies: [Reply] = [
        Reply(Methods.Hello.self, HelloResult(pid: 42)),
        Reply(Methods.ForwardAdd.self, .init(forwards: [forward, bareForward])),
        Reply(Methods.ForwardList.self, .init(forwards: [])),
        Reply(Methods.ForwardSet.self, .init(forwards: [forward])),
        Reply(Methods.ForwardRemove.self, .init(removed: ["web"])),
        Reply(Methods.TunnelList.self, .init(tunnels: [tunnel, bareTunnel])),
        Reply(Methods.TunnelClose.self, .init(closed: ["t1"])),
        Reply(Methods.EndpointList.self, .init(endpoints: [endpoint])),
        Reply(Methods.Status.self, StatusResult(pid: 42, uptime: 7, socket: "/s")),
        Reply(
            Methods.Status.self,
            StatusResult(
                pid: 42, uptime: 7, socket: "/s", forwards: [forward], tunnels: [tunnel], endpoints: [endpoint],
                recentFailures: [record],
                needsLogin: [
                    NeededLogin(profile: "dev", command: "aws sso login --profile dev"),
                    NeededLogin(command: "aws sso login"),
                ],
                credentials: [
                    CredentialInfo(),
                    CredentialInfo(profile: "dev", environment: ["AWS_CONFIG_FILE": "/c"], expiresAt: time),
                ],
                audit: AuditInfo(path: "/state/eiced/audit.jsonl", lost: 2, failure: record),
                warnings: [record], draining: [DrainingProcess(pid: 41, slots: 3)])),
        Reply(Methods.Connect.self, ConnectResult(tunnel: "t1", handoff: false)),
        Reply(
            Methods.Connect.self,
            ConnectResult(tunnel: "t1", handoff: true, address: "10.0.0.1", endpoint: "eice-1", requestID: "r")),
        Reply(Methods.EventsSubscribe.self, .init()),
        Reply(Methods.EventsRecent.self, .init(events: events)),
        Reply(Methods.ForwardProbe.self, ForwardProbeResult(forward: "web", tunnel: "t1", milliseconds: 7)),
        Reply(
            Methods.ForwardProbe.self,
            ForwardProbeResult(
                forward: "web", tunnel: "t1", address: "10.0.0.1", endpoint: "eice-1", milliseconds: 120)),
        Reply(Methods.ProfileList.self, ProfileListResult(profiles: ["default", "dev"])),
        Reply(
            Methods.TargetList.self,
            TargetListResult(
                region: "eu-west-1",
                targets: [TargetInfo(id: "i-1", name: "web-1", address: "10.0.0.1"), TargetInfo(id: "i-2")])),
        Reply(Methods.Metrics.self, MetricsResult(text: "# EOF\n")),
        Reply(Methods.Reload.self, ReloadResult(added: ["a"], removed: ["b"], changed: ["c"], warnings: ["w"])),
        Reply(Methods.Shutdown.self, ShutdownResult(tunnels: 2, drain: 10)),
        Reply(Methods.Shutdown.self, ShutdownResult(tunnels: 2, drain: 3_600, successor: 4_243)),
    ]

    static let events: [ControlEvent] = ControlEvent.Kind.all.map { kind in
        var event = ControlEvent(kind, at: time)
        switch kind {
        case .forwardAdded, .forwardRemoved: event.forward = forward
        case .forwardChanged:
            event.forward = forward
            event.was = "bastion"
        case .tunnelOpened: event.tunnel = bareTunnel
        case .tunnelClosed:
            event.tunnel = tunnel
            event.reason = "the remote closed"
            event.reasonCode = "remote-closed"
            event.orderly = true
            event.failure = record.failure
        case .tunnelExpiring:
            event.tunnel = tunnel
            event.expiresIn = 300
        case .endpointFull: event.endpoint = endpoint
        case .connectionRefused:
            event.forward = forward
            event.failure = record.failure
            event.refused = 7
        case .loginNeeded: event.login = NeededLogin(command: "aws sso login")
        default: event.dropped = 12
        }
        return event
    }
}
