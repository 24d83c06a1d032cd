import ControlProtocol

/// The daemon's metrics as OpenMetrics text. Names and labels are for good; new ones may come. Pure.
enum Metrics {
    /// - Parameter began: when the daemon did.
    static func text(_ status: StatusResult, _ tally: Tally, began: Timestamp) -> String {
        var metrics = OpenMetrics()
        daemon(status, began, &metrics)
        tunnels(status, tally, &metrics)
        dials(tally, &metrics)
        endpoints(status.endpoints, &metrics)
        identities(status, &metrics)
        if let audit = status.audit {
            metrics.family("eiced_audit_lost", .counter, help: "Tunnels that could not be recorded in the audit.") {
                $0.add("_total", [], audit.lost)
            }
            metrics.gauge(
                "eiced_audit_failing", help: "1 while the audit cannot be written.", audit.failure == nil ? 0 : 1)
        }
        return metrics.text
    }

    private static func daemon(_ status: StatusResult, _ began: Timestamp, _ metrics: inout OpenMetrics) {
        metrics.family("eiced_build", .info, help: "The daemon's release.") {
            $0.add("_info", [("version", status.version)], 1)
        }
        metrics.family("eiced_start_time_seconds", .gauge, unit: "seconds", help: "When the daemon began, since 1970.")
        {
            $0.add(value: seconds(began))
        }
        metrics.family("eiced_forwards", .gauge, help: "Forwards, by whether they listen.") { family in
            for state in [ForwardInfo.State.listening, .failed] {
                family.add("", [("state", state.rawValue)], status.forwards.count { $0.state == state })
            }
        }
    }

    private static func tunnels(_ status: StatusResult, _ tally: Tally, _ metrics: inout OpenMetrics) {
        let states: [(TunnelInfo.State, String)] = [
            (.open, "Tunnels that are open."), (.queued, "Tunnels that are looked up or wait for a slot."),
            (.dialing, "Tunnels that are being dialed."), (.warm, "Open tunnels that nobody uses yet."),
            (.draining, "Tunnels that are being closed."),
        ]
        for (state, help) in states {
            metrics.gauge(
                "eiced_tunnels_\(state.rawValue)", help: help, status.tunnels.count { $0.state == state })
        }
        metrics.family("eiced_tunnels", .counter, help: "Tunnels that ended, by their reason.") { family in
            for (reason, count) in tally.ended.sorted(by: { $0.key < $1.key }) {
                family.add("_total", [("reason", reason)], count)
            }
        }
        metrics.family("eiced_failures", .counter, help: "Tunnels that failed, by the kind of failure.") { family in
            for (kind, count) in tally.failures.sorted(by: { $0.key < $1.key }) {
                family.add("_total", [("kind", kind)], count)
            }
        }
        metrics.family(
            "eiced_connections_refused", .counter, help: "Connections that no forward served, by why."
        ) { family in
            for (reason, count) in tally.refused.sorted(by: { $0.key < $1.key }) {
                family.add("_total", [("reason", reason)], count)
            }
        }
        metrics.family(
            "eiced_connections_gone", .counter, help: "Connections whose client went before it was known whose it is."
        ) { $0.add("_total", [], tally.gone) }
        metrics.family(
            "eiced_relayed_bytes", .counter, unit: "bytes", help: "Payload of all tunnels, by direction."
        ) { family in
            let up = status.tunnels.reduce(tally.localToRemote) { $0 &+ $1.bytesLocalToRemote }
            let down = status.tunnels.reduce(tally.remoteToLocal) { $0 &+ $1.bytesRemoteToLocal }
            family.add("_total", [("direction", "local_to_remote")], up)
            family.add("_total", [("direction", "remote_to_local")], down)
        }
    }

    private static func dials(_ tally: Tally, _ metrics: inout OpenMetrics) {
        metrics.family(
            "eiced_dial_duration_seconds", .histogram, unit: "seconds",
            help: "How long the parts of a dial took, for tunnels that were opened."
        ) { family in
            for (phase, histogram) in tally.phases.sorted(by: { $0.key < $1.key }) {
                family.add(histogram, [("phase", phase)])
            }
        }
    }

    private static func endpoints(_ endpoints: [EndpointInfo], _ metrics: inout OpenMetrics) {
        let gauges: [(String, String, (EndpointInfo) -> Int)] = [
            ("eiced_endpoint_slots_in_use", "Slots of an endpoint that eiced uses.", { $0.slots.inUse }),
            (
                "eiced_endpoint_slots_cap", "Slots that eiced may use now: the limit, or what the service takes.",
                { $0.slots.cap }
            ),
            ("eiced_endpoint_slots_limit", "Slots that the configuration allows.", { $0.slots.limit ?? $0.slots.cap }),
            ("eiced_endpoint_slots_warm", "Slots in use by warm tunnels.", { $0.slots.warm ?? 0 }),
            (
                "eiced_endpoint_refusing", "1 while the service takes less than the limit.",
                { $0.slots.refusedSince == nil ? 0 : 1 }
            ), ("eiced_endpoint_queue_length", "Connections that wait for a slot of an endpoint.", { $0.queued }),
            ("eiced_endpoint_spares", "Connections to an endpoint made ahead of a dial.", { $0.spares?.ready ?? 0 }),
        ]
        for (name, help, value) in gauges { family(name, .gauge, help, endpoints, "", value, &metrics) }
        let counters: [(String, String, (EndpointInfo.Totals) -> Int)] = [
            ("eiced_endpoint_queue_waits", "Connections that found no free slot and had to wait.", { $0.waited }),
            (
                "eiced_endpoint_queue_overflows", "Connections that were turned away since the queue was full.",
                { $0.turnedAway }
            ),
            (
                "eiced_endpoint_full_refusals", "Dials that the service refused since the endpoint was full.",
                { $0.refusedAsFull }
            ),
        ]
        for (name, help, value) in counters {
            family(name, .counter, help, endpoints, "_total", { $0.totals.map(value) ?? 0 }, &metrics)
        }
    }

    private static func family(
        _ name: String, _ type: OpenMetrics.Kind, _ help: String, _ endpoints: [EndpointInfo], _ suffix: String,
        _ value: (EndpointInfo) -> Int, _ metrics: inout OpenMetrics
    ) {
        metrics.family(name, type, help: help) { family in
            for endpoint in endpoints {
                family.add(suffix, [("endpoint", endpoint.id), ("region", endpoint.region)], value(endpoint))
            }
        }
    }

    private static func identities(_ status: StatusResult, _ metrics: inout OpenMetrics) {
        metrics.family(
            "eiced_credentials_expiry_timestamp_seconds", .gauge, unit: "seconds",
            help: "When the credentials of a profile end, since 1970."
        ) { family in
            // Shells with files of their own may have a profile of the same name: the one that ends first stands for them.
            var ends: [String: Timestamp] = [:]
            for entry in status.credentials ?? [] {
                guard let end = entry.expiresAt else { continue }
                let known = ends[entry.profile ?? ""]
                if known.map({ end.milliseconds < $0.milliseconds }) ?? true { ends[entry.profile ?? ""] = end }
            }
            for (profile, end) in ends.sorted(by: { $0.key < $1.key }) {
                family.add("", [("profile", profile)], value: seconds(end))
            }
        }
        metrics.gauge(
            "eiced_logins_needed", help: "Profiles that wait for a person to log in.", status.needsLogin.count)
    }

    private static func seconds(_ time: Timestamp) -> String { "\(Double(time.milliseconds) / 1_000)" }
}
