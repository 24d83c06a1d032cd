import ControlProtocol
import Failures
import Glibc

/// An event in one line, for people.
enum EventText {
    /// `2026-03-01 10:30:00.250  tunnel closed    t17 …`, in the local time zone.
    static func line(_ event: ControlEvent) -> String {
        let kind = event.event.rawValue.split(separator: ".").joined(separator: " ")
        let padding = String(repeating: " ", count: max(1, 17 - kind.count))
        return ForeignText.line("\(local(event.time))  \(kind)\(padding)\(what(event))").trimmingTrailingBlanks() + "\n"
    }

    private static func what(_ event: ControlEvent) -> String {
        switch event.event {
        case .forwardAdded: return event.forward.map(place) ?? ""
        case .forwardChanged:
            let old = event.was.flatMap { $0 == event.forward?.name ? nil : ", until now \($0)" } ?? ""
            return event.forward.map { place($0) + old } ?? ""
        case .tunnelOpened:
            return event.tunnel.map { tunnel in
                "\(name(tunnel))\(tunnel.endpoint.map { " through \($0)" } ?? ""), from \(tunnel.peer)"
            } ?? ""
        case .tunnelClosed:
            return event.tunnel.map { tunnel in
                "\(name(tunnel)) after \(Output.shortly(Output.seconds(from: tunnel.since, to: event.time))), "
                    + "\(Output.size(tunnel.bytesLocalToRemote)) sent, \(Output.size(tunnel.bytesRemoteToLocal)) received"
                    + (event.reason.map { ": \($0)" } ?? "")
            } ?? ""
        case .tunnelExpiring:
            return event.tunnel.map { "\(name($0)) ends in \(Output.shortly(event.expiresIn ?? 0))" } ?? ""
        case .endpointFull:
            return event.endpoint.map {
                "\($0.id): \($0.slots.inUse) of \($0.slots.cap) slots in use, \($0.queued) waiting"
            } ?? ""
        case .zoneCrossed: return event.reason ?? ""
        case .connectionRefused:
            return event.failure.map { failure in
                "\(event.forward?.name ?? "-"): \(failure.why)"
                    + (event.refused.map { $0 > 1 ? ", \($0) times" : "" } ?? "")
            } ?? ""
        case .loginNeeded:
            return event.login.map { "\($0.profile ?? "the default profile"): \($0.command)" } ?? ""
        case .eventsDropped: return event.dropped.map { "\($0) events were left out" } ?? ""
        default:
            // A newer daemon's, or one that is about a forward or a tunnel and needs no more words.
            return event.tunnel.map(name) ?? event.forward?.name ?? event.endpoint?.id ?? ""
        }
    }

    private static func place(_ forward: ForwardInfo) -> String {
        let addresses = forward.addresses.isEmpty ? "not listening yet," : forward.addresses.joined(separator: " and ")
        return "\(forward.name): \(addresses) for \(forward.target) port \(forward.remotePort)"
    }

    private static func name(_ tunnel: TunnelInfo) -> String {
        "\(tunnel.id)\(tunnel.forward.map { " (\($0))" } ?? "") to \(tunnel.target):\(tunnel.remotePort)"
    }

    private static func local(_ time: Timestamp) -> String {
        var seconds = time_t(time.milliseconds / 1_000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%d %H:%M:%S", &parts)
        let fraction = String(time.milliseconds % 1_000 + 1_000).dropFirst()
        return String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) + ".\(fraction)"
    }
}

extension String {
    fileprivate func trimmingTrailingBlanks() -> String {
        String(self[..<(lastIndex { $0 != " " }.map(index(after:)) ?? startIndex)])
    }
}
