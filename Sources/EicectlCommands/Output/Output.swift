import ControlProtocol
import Failures
import FoundationEssentials

/// What the commands print: results to text, no more.
enum Output {
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: ForeignText.json(Array(try encoder.encode(value))), as: UTF8.self)
    }

    /// The same in one line, for streams of values.
    static func jsonLine(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: ForeignText.json(Array(try encoder.encode(value))), as: UTF8.self) + "\n"
    }

    static func lines(_ lines: [String]) -> String { lines.map { ForeignText.line($0) + "\n" }.joined() }

    static func added(_ forwards: [ForwardInfo]) -> String {
        lines(
            forwards.map { forward in
                guard forward.state == .listening else {
                    return "\(forward.name): not listening yet, for \(forward.target) port \(forward.remotePort)"
                        + (forward.lastFailure.map { ": \(one($0.failure))" } ?? "")
                }
                let places = forward.addresses.joined(separator: " and ")
                return "\(forward.name): listening on \(places) for \(forward.target) port \(forward.remotePort)"
            })
    }

    static func forwards(_ forwards: [ForwardInfo], _ style: Style) -> String {
        guard !forwards.isEmpty else { return "no forwards: eicectl add TARGET REMOTE[:LOCAL] makes one\n" }
        var table = Table(["NAME", "TARGET", "PORT", "LISTENS ON", "PROFILE", "REGION", "ENDPOINT", "TUNNELS", "STATE"])
        for forward in forwards {
            var state = forward.state.rawValue
            if forward.remoteAllowed { state += ", open to other hosts" }
            if forward.ephemeral { state += ", ephemeral" }
            let paintedState = forward.state == .failed ? Table.Cell(state, style.bad) : Table.Cell(state)
            table.add([
                Table.Cell(forward.name), Table.Cell(forward.target), Table.Cell(String(forward.remotePort)),
                Table.Cell(forward.addresses.isEmpty ? "-" : forward.addresses.joined(separator: ", ")),
                Table.Cell(forward.profile ?? "-"), Table.Cell(forward.region ?? "-"),
                Table.Cell(forward.endpoint ?? "-"),
                Table.Cell(String(forward.tunnels)), paintedState,
            ])
        }
        return table.text(style) + failures(of: forwards.map { ($0.name, $0.lastFailure) }, style)
    }

    static func tunnels(_ tunnels: [TunnelInfo], at now: Timestamp, _ style: Style) -> String {
        guard !tunnels.isEmpty else { return "no tunnels\n" }
        var table = Table([
            "ID", "FORWARD", "TARGET", "PORT", "STATE", "LIVENESS", "AGE", "LEFT", "SENT", "RECEIVED", "PEER",
            "ENDPOINT",
        ])
        for tunnel in tunnels {
            table.add(plain: [
                tunnel.id, tunnel.forward ?? "-", tunnel.target, String(tunnel.remotePort), tunnel.state.rawValue,
                liveness(of: tunnel),
                age(from: tunnel.since, to: now), tunnel.expiresAt.map { age(from: now, to: $0) } ?? "-",
                size(tunnel.bytesLocalToRemote), size(tunnel.bytesRemoteToLocal), tunnel.peer, tunnel.endpoint ?? "-",
            ])
        }
        return table.text(style)
    }

    /// Whether the endpoint answers pings, of a tunnel on which it could: `unknown` where it never has.
    static func liveness(of tunnel: TunnelInfo) -> String {
        switch tunnel.state {
        case .open, .warm: tunnel.liveness.rawValue
        case .queued, .dialing, .draining: "-"
        }
    }

    /// `12/20`; and where the service takes less from us than the configured limit, since when:
    /// `12/20, service refuses above 12 since 10:02`.
    static func slots(of endpoint: EndpointInfo) -> String {
        let slots = endpoint.slots
        guard let since = slots.refusedSince else { return "\(slots.inUse)/\(slots.cap)" }
        return "\(slots.inUse)/\(slots.limit ?? slots.cap), service refuses above \(slots.cap) since \(since.clock)"
    }

    static func endpoints(_ endpoints: [EndpointInfo], _ style: Style) -> String {
        guard !endpoints.isEmpty else { return "no endpoints yet: one appears with its first use\n" }
        var table = Table(["ENDPOINT", "REGION", "SLOTS", "WARM", "SPARES", "WAITING", "DNS NAME"])
        for endpoint in endpoints {
            let slots = slots(of: endpoint)
            let isFull = endpoint.slots.inUse >= endpoint.slots.cap
            table.add([
                Table.Cell(endpoint.id), Table.Cell(endpoint.region),
                isFull ? Table.Cell(slots, style.bad) : Table.Cell(slots),
                Table.Cell(endpoint.slots.warm.map(String.init) ?? "-"),
                Table.Cell(endpoint.spares.map { String($0.ready) } ?? "-"),
                Table.Cell(String(endpoint.queued)), Table.Cell(endpoint.dnsName),
            ])
        }
        return table.text(style) + pauses(endpoints, style)
            + failures(of: endpoints.map { ($0.id, $0.lastFailure) }, style)
    }

    /// Where no spares are made, until when and why.
    static func pauses(_ endpoints: [EndpointInfo], _ style: Style) -> String {
        endpoints.compactMap { endpoint in
            guard let spares = endpoint.spares, let until = spares.pausedUntil else { return nil }
            let why = spares.why.map { ", since \($0)" } ?? ""
            return style.bad("no spares") + lines([" for \(endpoint.id) until \(until.clock)\(why)"])
        }.joined()
    }

    static func status(_ status: StatusResult, at now: Timestamp, _ style: Style) -> String {
        var text = lines(["eiced \(status.version), pid \(status.pid), up \(shortly(status.uptime)), \(status.socket)"])
        text += notices(status, style)
        text += "\n" + forwards(status.forwards, style)
        text += "\n" + tunnels(status.tunnels, at: now, style)
        text += waiting(status, at: now, style)
        if !status.endpoints.isEmpty { text += "\n" + endpoints(status.endpoints, style) }
        text += draining(status)
        text += credentials(status, at: now, style)
        if let audit = status.audit, let record = audit.failure {
            text += "\n\(style.bad("audit")): \(one(record.failure)), \(audit.lost) tunnels lost\n"
        }
        if !status.recentFailures.isEmpty {
            text += "\n" + style.heading("LATEST FAILURES") + "\n"
            for record in status.recentFailures {
                text += latest(record, at: now) + "\n"
            }
        }
        return text
    }

    /// What somebody should do something about.
    static func notices(_ status: StatusResult, _ style: Style) -> String {
        var text = ""
        if status.version != EICEDVersion.current {
            text += lines([
                "eiced \(status.version) is running, \(EICEDVersion.current) is installed: eicectl shutdown --handover"
            ])
        }
        let warnings = (status.warnings ?? []).map { style.bad("warning") + ": \(one($0.failure))" }
        let logins = status.needsLogin.map {
            style.bad("login needed") + ForeignText.line(" for \($0.profile ?? "the default profile"): \($0.command)")
        }
        for line in ListText.brief(lines: warnings, of: "warnings") + ListText.brief(lines: logins, of: "logins needed")
        {
            text += "\(line)\n"
        }
        return text
    }

    /// Who else holds slots: processes that handed over.
    static func draining(_ status: StatusResult) -> String {
        (status.draining ?? []).map {
            "pid \($0.pid) has handed over and still holds \($0.slots) slot\($0.slots == 1 ? "" : "s")\n"
        }.joined()
    }

    static func reloaded(_ result: ReloadResult) -> String {
        let parts = [("added", result.added), ("changed", result.changed), ("removed", result.removed)]
            .filter { !$0.1.isEmpty }
        guard !parts.isEmpty else { return "nothing changed\n" }
        return lines(parts.map { "\($0.0) \(ListText.brief($0.1))" })
    }

    static func stopping(_ result: ShutdownResult) -> String {
        if let successor = result.successor {
            let rest =
                switch result.tunnels {
                case 0: ""
                case 1: "; the one open tunnel goes on"
                default: "; \(result.tunnels) open tunnels go on"
                }
            return "eiced has handed over to pid \(successor)\(rest)\n"
        }
        return switch result.tunnels {
        case 0: "eiced ends\n"
        case 1: "eiced ends; the one open tunnel has \(shortly(result.drain))\n"
        default: "eiced ends; \(result.tunnels) open tunnels have \(shortly(result.drain))\n"
        }
    }

    static func versions(_ versions: VersionCommand.Versions, _ reason: String) -> String {
        lines([
            "eicectl \(versions.eicectl)", versions.eiced.map { "eiced \($0)" } ?? "eiced does not answer: \(reason)",
        ])
    }

    /// Who waits, for what, and how long already.
    static func waiting(_ status: StatusResult, at now: Timestamp, _ style: Style) -> String {
        let waiting = status.tunnels.filter { $0.state == .queued }
        guard !waiting.isEmpty else { return "" }
        var table = Table(["WAITING", "TARGET", "FOR", "AGE", "PEER"])
        for tunnel in waiting {
            table.add(plain: [
                tunnel.id, tunnel.forward.map { "\($0) (\(tunnel.target))" } ?? "\(tunnel.target):\(tunnel.remotePort)",
                whatFor(tunnel), age(from: tunnel.since, to: now), tunnel.peer,
            ])
        }
        return "\n" + table.text(style)
    }

    private static func whatFor(_ tunnel: TunnelInfo) -> String {
        switch (tunnel.waitsFor, tunnel.endpoint) {
        case (.login, _): "a log-in"
        // A daemon that does not tell what for has the endpoint's id once it waits for a slot.
        case (.slot, let endpoint?), (nil, let endpoint?): "a slot of \(endpoint)"
        case (.slot, nil): "a slot"
        case (.lookup, _), (nil, nil): "its look-up"
        }
    }

    /// How long the credentials in use are good for; nothing where no end is known.
    static func credentials(_ status: StatusResult, at now: Timestamp, _ style: Style) -> String {
        let known = (status.credentials ?? []).filter { $0.expiresAt != nil }
        guard !known.isEmpty else { return "" }
        var table = Table(["PROFILE", "CREDENTIALS"])
        for entry in known {
            guard let end = entry.expiresAt else { continue }
            let cell =
                end > now
                ? Table.Cell("for \(age(from: now, to: end))")
                : Table.Cell("expired \(age(from: end, to: now)) ago", style.bad)
            table.add([Table.Cell(entry.profile ?? "(default)"), cell])
        }
        return "\n" + table.text(style)
    }

    // MARK: Parts

    private static func failures(of things: [(String, FailureRecord?)], _ style: Style) -> String {
        things.compactMap { name, record in
            record.map { style.bad("last failure") + lines([" of \(name): \(one($0.failure))"]) }
        }.joined()
    }

    /// `5s ago  web: cannot …`
    static func latest(_ record: FailureRecord, at now: Timestamp) -> String {
        let subject = record.subject.map { "\($0): " } ?? ""
        return ForeignText.line("\(age(from: record.when, to: now)) ago  \(subject)\(one(record.failure))")
    }

    /// A failure in one line.
    static func one(_ failure: Failure) -> String {
        ForeignText.excerpt(failure.description, limit: ForeignText.longestLine)
    }

    static func seconds(from start: Timestamp, to end: Timestamp) -> Int {
        max(0, Int((end.milliseconds - start.milliseconds) / 1000))
    }

    static func age(from start: Timestamp, to end: Timestamp) -> String {
        shortly(seconds(from: start, to: end))
    }

    /// The two largest units: `3d4h`, `1h5m`, `59s`.
    static func shortly(_ seconds: Int) -> String {
        let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]
        guard let first = units.firstIndex(where: { seconds >= $0.1 }) else { return "0s" }
        let rest = seconds % units[first].1
        let text = "\(seconds / units[first].1)\(units[first].0)"
        guard first + 1 < units.count, rest >= units[first + 1].1 else { return text }
        return text + "\(rest / units[first + 1].1)\(units[first + 1].0)"
    }

    /// `999 B`, `1.5 KiB`, `200 MiB`.
    static func size(_ bytes: UInt64) -> String {
        guard bytes >= 1024 else { return "\(bytes) B" }
        var value = Double(bytes)
        var unit = -1
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        // What would be printed as 1024 of a unit is 1 of the next.
        repeat {
            value /= 1024
            unit += 1
        } while value >= 1023.5 && unit < units.count - 1
        let tenths = Int((value * 10).rounded())
        return value < 10 ? "\(tenths / 10).\(tenths % 10) \(units[unit])" : "\(Int(value.rounded())) \(units[unit])"
    }
}
