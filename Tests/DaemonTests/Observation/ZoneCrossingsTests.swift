import Testing
import Transport

@testable import Daemon

@Suite struct ZoneCrossingsTests {
    private let start = ContinuousClock.now

    private func route(endpointZone: String?, targetZone: String?, endpoint: String = "eice-1") throws -> Route {
        Route(
            target: try Target(parsing: "i-0123456789abcdef0"), remotePort: 22, instanceID: "i-0123456789abcdef0",
            address: "10.0.1.5", region: "eu-west-1", profile: nil, zone: targetZone, subnetID: nil, vpcID: nil,
            path: Path(
                gateway: Gateway(transport: "eice", id: endpoint, region: "eu-west-1"), zone: endpointZone,
                nearness: .otherZone))
    }

    @Test func aCrossingIsSaidOnceForEachEndpointAndZone() throws {
        var crossings = ZoneCrossings()
        let there = try route(endpointZone: "eu-west-1a", targetZone: "eu-west-1b")
        #expect(
            crossings.note(there, at: start)
                == "eice-1 stands in eu-west-1a and i-0123456789abcdef0 in eu-west-1b: traffic between zones is billed")
        #expect(crossings.note(there, at: start) == nil)
        #expect(try crossings.note(route(endpointZone: "eu-west-1a", targetZone: "eu-west-1c"), at: start) != nil)
        #expect(
            try crossings.note(
                route(endpointZone: "eu-west-1c", targetZone: "eu-west-1b", endpoint: "eice-2"), at: start) != nil)
    }

    @Test("a crossing is said again after a day without it")
    func again() throws {
        var crossings = ZoneCrossings()
        let there = try route(endpointZone: "eu-west-1a", targetZone: "eu-west-1b")
        #expect(crossings.note(there, at: start) != nil)
        for hours in [20, 40, 60] { #expect(crossings.note(there, at: start + .seconds(hours * 3_600)) == nil) }
        #expect(crossings.note(there, at: start + .seconds(85 * 3_600)) != nil)
    }

    @Test func oneZoneAndUnknownOnesAreNoCrossing() throws {
        var crossings = ZoneCrossings()
        #expect(try crossings.note(route(endpointZone: "eu-west-1a", targetZone: "eu-west-1a"), at: start) == nil)
        #expect(try crossings.note(route(endpointZone: nil, targetZone: "eu-west-1a"), at: start) == nil)
        #expect(try crossings.note(route(endpointZone: "eu-west-1a", targetZone: nil), at: start) == nil)
    }
}
