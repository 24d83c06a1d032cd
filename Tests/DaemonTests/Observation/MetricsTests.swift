import AWS
import ControlProtocol
import Failures
import InstanceConnect
import TestSupport
import Testing
import Transport

@testable import Daemon
@testable import Tunnels

@Suite struct MetricsTests {
    private static let time = Timestamp(milliseconds: 1_772_357_400_250)

    static func ended(
        _ reason: CloseReason, id: UInt64 = 1, forward: String? = "web", up: Int = 0, down: Int = 0
    ) throws -> EndedTunnel {
        var request = TunnelRequest(
            route: RouteRequest(target: try Target(parsing: "i-0123456789abcdef0"), remotePort: 22, profile: "dev"),
            forward: forward, peer: "127.0.0.1:5", maxDuration: .seconds(60))
        request.identity = ClientIdentity(uid: 1000, pid: 7, command: "ss\"h\n", executable: "/usr/bin/ssh")
        let handle = TunnelHandle(id: id, request: request, since: .now())
        handle.statistics.addLocalToRemote(up)
        handle.statistics.addRemoteToLocal(down)
        return EndedTunnel(handle: handle, reason: reason, at: .now())
    }

    @Test func whatIsCountedIsThere() throws {
        var tally = Tally()
        tally.note(try Self.ended(.localClosed, up: 10, down: 100))
        tally.note(try Self.ended(.localClosed, up: 1))
        tally.note(try Self.ended(.failed(Failure(.targetUnreachable, "no"))))
        tally.note(connecting: .milliseconds(3), phase: "connect")
        tally.note(connecting: .seconds(60), phase: "connect")
        let live = TunnelInfo(
            id: "t9", target: "i", remotePort: 22, state: .open, since: Self.time, bytesLocalToRemote: 5,
            bytesRemoteToLocal: 6, peer: "p")
        let status = StatusResult(
            version: "1.2", pid: 1, uptime: 2, socket: "/s",
            forwards: [ForwardInfo(name: "web", target: "i", remotePort: 22, addresses: [], maxDuration: 1)],
            tunnels: [live],
            endpoints: [
                EndpointInfo(
                    id: "eice-\"1\"\\", dnsName: "d", region: "eu\nwest",
                    slots: .init(inUse: 3, cap: 12, limit: 20, refusedSince: Self.time, warm: 1), queued: 2,
                    spares: .init(ready: 4), totals: .init(waited: 7, turnedAway: 6, refusedAsFull: 5))
            ], needsLogin: [NeededLogin(command: "aws sso login")],
            credentials: [CredentialInfo(profile: "dev", expiresAt: Self.time), CredentialInfo()],
            audit: AuditInfo(path: "/a", lost: 4))
        let metrics = try OpenMetricsReader(Metrics.text(status, tally, began: Self.time))

        #expect(metrics["eiced_build"].first?.labels == ["version": "1.2"])
        #expect(metrics["eiced_start_time_seconds"].first?.value == 1_772_357_400.25)
        #expect(
            metrics["eiced_tunnels"] == [
                .init(name: "eiced_tunnels_total", labels: ["reason": "failed"], value: 1),
                .init(name: "eiced_tunnels_total", labels: ["reason": "local-closed"], value: 2),
            ])
        #expect(metrics["eiced_tunnels_open"].first?.value == 1)
        #expect(metrics["eiced_failures"].first?.labels == ["kind": "target-unreachable"])
        #expect(metrics["eiced_relayed_bytes"].map(\.value) == [16, 106])
        #expect(metrics.families["eiced_relayed_bytes"]?.unit == "bytes")
        let endpoint = ["endpoint": "eice-\"1\"\\", "region": "eu\nwest"]
        #expect(
            metrics["eiced_endpoint_slots_in_use"] == [
                .init(name: "eiced_endpoint_slots_in_use", labels: endpoint, value: 3)
            ])
        let figures = [
            "queue_length": 2.0, "slots_cap": 12, "slots_limit": 20, "slots_warm": 1, "refusing": 1, "spares": 4,
            "queue_waits": 7, "queue_overflows": 6, "full_refusals": 5,
        ]
        for (name, value) in figures { #expect(metrics["eiced_endpoint_\(name)"].first?.value == value, "\(name)") }
        #expect(metrics["eiced_tunnels_warm"].first?.value == 0)
        #expect(metrics["eiced_credentials_expiry_timestamp_seconds"].map(\.labels) == [["profile": "dev"]])
        #expect(metrics["eiced_logins_needed"].first?.value == 1)
        #expect(metrics["eiced_audit_lost"].first?.value == 4)
        let phases = metrics["eiced_dial_duration_seconds"]
        #expect(phases.first { $0.labels["le"] == "0.005" }?.value == 1)
        #expect(phases.first { $0.name.hasSuffix("_count") }?.value == 2)
        #expect(metrics.families.values.allSatisfy { $0.help?.isEmpty == false })
    }

    @Test(
        .enabled("python3 with prometheus_client is not installed here") { try await Python.has("prometheus_client") })
    func prometheusReadsThemToo() async throws {
        let folder = try TemporaryDirectory()
        var tally = Tally()
        tally.note(try Self.ended(.failed(Failure(.targetUnreachable, "no")), up: 3))
        tally.note(connecting: .milliseconds(3), phase: "connect")
        let status = StatusResult(
            pid: 1, uptime: 2, socket: "/s",
            endpoints: [EndpointInfo(id: "e\"\\\n", dnsName: "d", region: "r", slots: .init(inUse: 1, cap: 2))],
            audit: AuditInfo(path: "/a"))
        let path = try folder.write("metrics", Metrics.text(status, tally, began: Self.time))
        let names = try await Python.run(
            "-c",
            """
            import sys
            from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
            print(*[family.name for family in read(open(sys.argv[1]).read())])
            """, path)
        #expect(names.contains("eiced_tunnels ") && names.contains("eiced_dial_duration_seconds"))
    }

    @Test func aFreshDaemonHasMetricsToo() throws {
        let text = Metrics.text(StatusResult(pid: 1, uptime: 0, socket: "/s"), Tally(), began: Self.time)
        #expect(try OpenMetricsReader(text)["eiced_tunnels_open"].first?.value == 0)
    }

    @Test(arguments: [
        "eiced_x 1\n# EOF\n", "# TYPE a gauge\na 1\n", "# TYPE a gauge\na 1\na 2\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n", "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"c} 1\n# EOF\n", "# TYPE a gauge\n\n# EOF\n",
    ]) func theReaderFindsWhatIsWrong(_ text: String) {
        #expect(throws: TestFailure.self) { try OpenMetricsReader(text) }
    }
}
