import Bounds
import InstanceConnect
import Transport

/// Says once of each endpoint and zone, and again after a day without such a tunnel, that traffic passes between Availability Zones, which AWS bills ("Amazon EC2 On-Demand
/// Pricing", data transfer within the same Region). Pure.
struct ZoneCrossings {
    private struct Crossing: Hashable {
        let endpoint: String
        let zone: String
    }

    private var told = Recent<Crossing, Bool>()

    /// A tunnel is open by this route. Returns what is to be said, nil where nothing is or it was said before.
    ///
    /// Where a zone is not known, as for a target that was given by its address, nothing is said.
    mutating func note(_ route: Route, at now: ContinuousClock.Instant) -> String? {
        guard let here = route.path.zone, let there = route.zone, here != there else { return nil }
        let crossing = Crossing(endpoint: route.path.gateway.id, zone: there)
        guard told.use(crossing, at: now) == nil else { return nil }
        told.set(true, for: crossing, at: now)
        return
            "\(route.path.gateway.id) stands in \(here) and \(route.target) in \(there): traffic between zones is billed"
    }
}
