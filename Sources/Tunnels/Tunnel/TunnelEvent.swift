/// A tunnel's report to its table, on the control loop.
enum TunnelEvent: Sendable {
    case opened(DialTimings)
    /// Its time is over soon.
    case expiring(in: Duration)
    case ended(CloseReason)
}
