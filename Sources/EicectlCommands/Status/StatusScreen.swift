import ControlProtocol
import Failures

/// How fast tunnels move bytes, from one look to the next. Pure.
struct TunnelRates {
    struct Rate: Equatable {
        /// Bytes a second.
        var localToRemote: UInt64
        var remoteToLocal: UInt64
    }

    private var last: [String: (up: UInt64, down: UInt64)] = [:]
    private var at: ContinuousClock.Instant?
    private(set) var rates: [String: Rate] = [:]

    /// Takes the next look in. A tunnel that was not there before has no rate yet.
    mutating func note(_ tunnels: [TunnelInfo], at now: ContinuousClock.Instant) {
        let seconds = at.map { $0.duration(to: now) / .seconds(1) } ?? 0
        func rate(_ from: UInt64, _ to: UInt64) -> UInt64 { to > from ? UInt64(Double(to - from) / seconds) : 0 }
        rates = [:]
        var next: [String: (up: UInt64, down: UInt64)] = [:]
        for tunnel in tunnels {
            next[tunnel.id] = (tunnel.bytesLocalToRemote, tunnel.bytesRemoteToLocal)
            guard seconds > 0, let before = last[tunnel.id] else { continue }
            rates[tunnel.id] = Rate(
                localToRemote: rate(before.up, tunnel.bytesLocalToRemote),
                remoteToLocal: rate(before.down, tunnel.bytesRemoteToLocal))
        }
        last = next
        at = now
    }
}

/// What `status --watch` shows: a status as lines that fit a terminal. Pure.
enum StatusScreen {
    /// - Parameter trouble: why the status is not of now.
    static func text(
        _ status: StatusResult, _ rates: TunnelRates, trouble: String?, at now: Timestamp, _ style: Style
    ) -> String {
        var text =
            style.heading("eiced \(ForeignText.line(status.version))")
            + ", pid \(status.pid), up \(Output.shortly(status.uptime))\n"
        if let trouble { text += style.bad(ForeignText.line(trouble)) + "\n" }
        text += Output.notices(status, style)
        text += "\n" + endpoints(status.endpoints, style) + Output.draining(status)
        text += Output.waiting(status, at: now, style)
        text += "\n" + tunnels(status.tunnels, rates, at: now, style)
        text += "\n" + forwards(status.forwards, style)
        text += Output.credentials(status, at: now, style)
        if let audit = status.audit, let record = audit.failure {
            text += "\n\(style.bad("audit")): \(Output.one(record.failure))\n"
        }
        if let record = status.recentFailures.first {
            text += "\n\(style.heading("LATEST FAILURE")) \(Output.latest(record, at: now))\n"
        }
        return text
    }

    private static func endpoints(_ endpoints: [EndpointInfo], _ style: Style) -> String {
        guard !endpoints.isEmpty else { return "no endpoints yet\n" }
        var table = Table(["ENDPOINT", "REGION", "SLOTS", "WARM", "SPARES", "WAITING"])
        for endpoint in endpoints {
            let slots = Output.slots(of: endpoint)
            let isFull = endpoint.slots.inUse >= endpoint.slots.cap
            table.add([
                Table.Cell(endpoint.id), Table.Cell(endpoint.region),
                isFull ? Table.Cell(slots, style.bad) : Table.Cell(slots),
                Table.Cell(endpoint.slots.warm.map(String.init) ?? "-"),
                Table.Cell(endpoint.spares.map { String($0.ready) } ?? "-"), Table.Cell(String(endpoint.queued)),
            ])
        }
        return table.text(style) + Output.pauses(endpoints, style)
    }

    private static func tunnels(
        _ tunnels: [TunnelInfo], _ rates: TunnelRates, at now: Timestamp, _ style: Style
    ) -> String {
        guard !tunnels.isEmpty else { return "no tunnels\n" }
        var table = Table([
            "TUNNEL", "FORWARD", "TARGET", "STATE", "LIVENESS", "AGE", "LEFT", "SENT", "RATE", "RECEIVED", "RATE",
            "ROUND TRIP",
            "PEER",
        ])
        for tunnel in tunnels {
            let rate = rates.rates[tunnel.id]
            let left = tunnel.expiresAt.map { Output.seconds(from: now, to: $0) }
            let leftText = left.map(Output.shortly) ?? "-"
            let isEnding = left.map { $0 <= 300 } ?? false
            table.add([
                Table.Cell(tunnel.id), Table.Cell(tunnel.forward ?? "-"),
                Table.Cell("\(tunnel.target):\(tunnel.remotePort)"), Table.Cell(tunnel.state.rawValue),
                Table.Cell(Output.liveness(of: tunnel)),
                Table.Cell(Output.age(from: tunnel.since, to: now)),
                isEnding ? Table.Cell(leftText, style.bad) : Table.Cell(leftText),
                Table.Cell(Output.size(tunnel.bytesLocalToRemote)),
                Table.Cell(rate.map { Output.size($0.localToRemote) + "/s" } ?? "-"),
                Table.Cell(Output.size(tunnel.bytesRemoteToLocal)),
                Table.Cell(rate.map { Output.size($0.remoteToLocal) + "/s" } ?? "-"),
                Table.Cell(tunnel.roundTripMilliseconds.map(milliseconds) ?? "-"), Table.Cell(tunnel.peer),
            ])
        }
        return table.text(style)
    }

    private static func forwards(_ forwards: [ForwardInfo], _ style: Style) -> String {
        guard !forwards.isEmpty else { return "no forwards\n" }
        var table = Table(["FORWARD", "TARGET", "LISTENS ON", "PROFILE", "TUNNELS", "STATE"])
        for forward in forwards {
            let isFailed = forward.state == .failed
            table.add([
                Table.Cell(forward.name), Table.Cell("\(forward.target):\(forward.remotePort)"),
                Table.Cell(forward.addresses.isEmpty ? "-" : forward.addresses.joined(separator: ", ")),
                Table.Cell(forward.profile ?? "-"), Table.Cell(String(forward.tunnels)),
                isFailed ? Table.Cell(forward.state.rawValue, style.bad) : Table.Cell(forward.state.rawValue),
            ])
        }
        return table.text(style)
    }

    /// `0.4 ms`, `12 ms`.
    private static func milliseconds(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return value < 10 ? "\(tenths / 10).\(tenths % 10) ms" : "\(Int(value.rounded())) ms"
    }

    /// Cuts text to a terminal's size; the last line tells how many are missing.
    static func fit(_ text: String, columns: Int, rows: Int) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        while lines.last?.isEmpty == true { lines.removeLast() }
        guard rows > 0, columns > 0 else { return [] }
        if lines.count > rows {
            let missing = lines.count - rows + 1
            lines = lines.prefix(rows - 1) + ["… \(missing) more lines"]
        }
        return lines.map { cut($0, columns) }
    }

    /// The first `columns` characters; escape sequences have no width and all stay, so that colours end.
    private static func cut(_ line: String, _ columns: Int) -> String {
        var width = 0
        var isEscape = false
        var result = ""
        for character in line {
            if isEscape {
                result.append(character)
                isEscape = character != "m"
            } else if character == "\u{1B}" {
                result.append(character)
                isEscape = true
            } else if width < columns {
                result.append(character)
                width += 1
            }
        }
        return result
    }
}
