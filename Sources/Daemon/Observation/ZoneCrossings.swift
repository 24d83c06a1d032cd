import InstanceConnect

/// Says once of each endpoint and zone that traffic passes between Availability Zones, which AWS bills ("Amazon EC2 On-Demand
/// Pricing", data transfer within the same Region). Pure.
struct ZoneCrossings {
    private struct Crossing: Hashable {
        let endpoint: String
        let zone: String
    }

    private var told: Set<Crossing> = []

    /// A tunnel is open by this route. Returns what is to be said, nil where nothing is or it was said before.
    ///
    /// Where a zone is not known, as for a target that was given by its address, nothing is said.
    mutating func note(_ route: Route) -> String? {
        guard let here = route.endpoint.zone, let there = route.zone, here != there,
            told.insert(Crossing(endpoint: route.endpoint.id, zone: there)).inserted
        else { return nil }
        return "\(route.endpoint.id) stands in \(here) and \(route.target) in \(there): traffic between zones is billed"
    }
}
