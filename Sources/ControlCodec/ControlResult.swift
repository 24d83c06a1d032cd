import ControlProtocol
import Failures

/// What a request that is not `hello` or `connect` is answered with.
public enum ControlResult: Hashable, Sendable {
    case forwards(ForwardListResult)
    case forwardRemove(ForwardRemoveResult)
    case tunnels(TunnelListResult)
    case tunnelClose(TunnelCloseResult)
    case endpoints(EndpointListResult)
    case status(StatusResult)
    case eventsRecent(EventsRecentResult)
    case forwardProbe(ForwardProbeResult)
    case profiles(ProfileListResult)
    case targets(TargetListResult)
    case metrics(MetricsResult)
    case reload(ReloadResult)
    case shutdown(ShutdownResult)

    /// The reply's line, with its newline.
    public func line(id: RequestID) throws -> [UInt8] {
        switch self {
        case .forwards(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .forwardRemove(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .tunnels(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .tunnelClose(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .endpoints(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .status(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .eventsRecent(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .forwardProbe(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .profiles(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .targets(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .metrics(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .reload(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        case .shutdown(let value): try ControlWire.line(ResultEnvelope(id: id, result: value))
        }
    }
}
