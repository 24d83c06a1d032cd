import AWS
import Basics
import Failures
import Testing
import Transport

@testable import InstanceConnect

@Suite struct EndpointChoiceTests {
    private func endpoint(
        _ id: String, subnet: String? = nil, zone: String? = nil, type: String? = nil,
        state: String = "create-complete",
        name: String? = "a", fips: String? = nil
    ) -> InstanceConnectEndpoint {
        InstanceConnectEndpoint(
            id: id, state: state, names: .init(dnsName: name, fipsDNSName: fips), subnetID: subnet, zone: zone,
            ipAddressType: type)
    }

    private func choice(
        _ endpoints: [InstanceConnectEndpoint], subnet: String? = "s", zone: String? = "z", usesFIPS: Bool = false
    ) -> EndpointChoice {
        EndpointChoice(
            endpoints: endpoints,
            instance: Instance(id: "i-1", state: "running", vpcID: "v", subnetID: subnet, zone: zone),
            usesFIPS: usesFIPS, usesDualStack: false)
    }

    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    @Test("an unknown subnet or zone is not the instance's own")
    func unknownPlaces() throws {
        let four = try address("10.0.0.1")
        let found = try choice([endpoint("eice-1")], subnet: nil, zone: nil).candidates(for: [four])
        #expect(found.map(\.nearness) == [.otherZone])
        #expect(try choice([endpoint("eice-1", zone: "z")]).candidates(for: [four]).map(\.nearness) == [.sameZone])
    }

    @Test("endpoints that nothing else tells apart are tried in the order of their ids")
    func ids() throws {
        let endpoints = ["eice-2", "eice-3", "eice-1"].map { endpoint($0) }
        #expect(
            try choice(endpoints).candidates(for: [address("10.0.0.1")]).map(\.id) == ["eice-1", "eice-2", "eice-3"])
    }

    @Test("an endpoint that reaches the first address comes before a nearer one that reaches only the second")
    func addresses() throws {
        let endpoints = [
            endpoint("eice-6", subnet: "s", type: "ipv6"), endpoint("eice-4", type: "ipv4"),
            endpoint("eice-46", zone: "z", type: "dualstack"),
        ]
        let both = [try address("10.0.0.1"), try address("fd00::1")]
        let found = try choice(endpoints).candidates(for: both)
        #expect(found.map(\.id) == ["eice-46", "eice-4", "eice-6"])
        #expect(found.map(\.targetAddress) == ["10.0.0.1", "10.0.0.1", "fd00::1"])
        let reversed = try choice(endpoints).candidates(for: both.reversed())
        #expect(reversed.map(\.id) == ["eice-6", "eice-46", "eice-4"])
    }

    @Test(
        "an endpoint reaches the addresses of its type",
        arguments: [
            (nil, true, false), ("ipv4", true, false), ("ipv6", false, true), ("dualstack", true, true),
            ("new", true, false),
        ] as [(String?, Bool, Bool)])
    func types(type: String?, four: Bool, six: Bool) throws {
        #expect(EndpointChoice.reaches(endpoint("eice-1", type: type), try address("10.0.0.1")) == four)
        #expect(EndpointChoice.reaches(endpoint("eice-1", type: type), try address("fd00::1")) == six)
    }

    @Test("an endpoint without the name that is asked for is passed over, and all of them are named where none has one")
    func names() throws {
        let endpoints = [endpoint("eice-1", fips: nil), endpoint("eice-2", fips: "f")]
        let four = [try address("10.0.0.1")]
        #expect(try choice(endpoints, usesFIPS: true).candidates(for: four).map(\.dnsName) == ["f"])
        let failure = #expect(throws: Failure.self) {
            try choice([endpoint("eice-1"), endpoint("eice-3")], usesFIPS: true).candidates(for: four)
        }
        #expect(failure?.kind == .endpointUnusable && failure?.what == "endpoint eice-1, eice-3 has no FIPS DNS name")
        #expect(failure?.hint == "AWS_USE_FIPS_ENDPOINT, use_fips_endpoint or the region asks for one")
    }

    @Test(
        "an endpoint can be used in four of its states",
        arguments: [
            ("create-complete", true), ("update-in-progress", true), ("update-complete", true), ("update-failed", true),
            ("create-in-progress", false), ("create-failed", false), ("delete-in-progress", false),
            ("delete-failed", false),
            ("unknown", false),
        ])
    func states(state: String, isUsable: Bool) { #expect(endpoint("eice-1", state: state).isUsable == isUsable) }

    @Test("a dual-stack name is used where it is asked for and there is one")
    func dualStack() {
        func host(_ usesFIPS: Bool, _ usesDualStack: Bool, dualStack: InstanceConnectEndpoint.Names?) -> String? {
            InstanceConnectEndpoint(
                id: "e", state: "", names: .init(dnsName: nil, fipsDNSName: "f"),
                publicIPv4: .init(dnsName: "4", fipsDNSName: nil), publicDualStack: dualStack
            ).host(usesFIPS: usesFIPS, usesDualStack: usesDualStack)
        }
        let dual = InstanceConnectEndpoint.Names(dnsName: "d", fipsDNSName: "df")
        #expect(host(false, false, dualStack: dual) == "4" && host(false, true, dualStack: dual) == "d")
        #expect(host(true, false, dualStack: dual) == "f" && host(true, true, dualStack: dual) == "df")
        #expect(host(true, true, dualStack: nil) == "f" && host(false, true, dualStack: nil) == nil)
    }

    @Test("a route through another of its endpoints keeps all others as stand-ins and asks for that one's address")
    func through() throws {
        let endpoints = [
            Endpoint(id: "a", dnsName: "a", nearness: .sameSubnet),
            Endpoint(id: "b", dnsName: "b", nearness: .sameZone),
            Endpoint(id: "c", dnsName: "c", nearness: .otherZone, targetAddress: "fd00::1"),
        ]
        let paths = endpoints.map { Path(through: $0, region: "r") }
        let route = Route(
            target: try Target(parsing: "web"), remotePort: 22, instanceID: "i-1", address: "10.0.0.1", region: "r",
            profile: nil, path: try #require(paths.first), alternatives: Array(paths.dropFirst()))
        let other = route.by(try #require(paths.last))
        #expect(other.candidates.map(\.gateway.id) == ["c", "a", "b"] && other.address == "fd00::1")
        #expect(route.targetDescription == "web (i-1, 10.0.0.1)")
    }

    @Test("a close with the words of an unreachable target is one, whatever its code, and only some codes are normal")
    func closes() {
        #expect(EndpointClose(code: 1_000, reason: "UNABLE to connect to TARGET").isTargetUnreachable)
        #expect(!EndpointClose(code: 1_000, reason: "Unable to connect to target").isNormal)
        for (code, isNormal) in [
            (nil, true), (1_000, true), (1_001, true), (999, false), (1_002, false), (1_011, false),
        ] as [(UInt16?, Bool)] {
            #expect(EndpointClose(code: code, reason: "").isNormal == isNormal, "\(code ?? 0)")
        }
        #expect(EndpointClose(code: nil, reason: "").summary == "no code")
        #expect(EndpointClose(code: 1_000, reason: "x").summary == "1000 \"x\"")
    }

    @Test("the life of a tunnel is brought into what the service allows")
    func durations() throws {
        let route = try OpenTunnelURLTests.route("10.0.1.5")
        let credentials = OpenTunnelURLTests.credentials(token: nil)
        for (asked, sent) in [(-1, 1), (0, 1), (1, 1), (3_600, 3_600), (3_601, 3_600)] {
            let url = OpenTunnelURL(
                route: route, maxDuration: asked, credentials: credentials, at: WallTime(secondsSinceEpoch: 0))
            #expect(url.pathAndQuery.contains("&maxTunnelDuration=\(sent)&"), "\(url.pathAndQuery)")
            #expect(url.pathAndQuery.contains("X-Amz-Expires=60&"))
            #expect(url.signature?.count == 64)
        }
    }

    @Test("an empty key id of the caller is none")
    func emptyKey() throws {
        try EnvironmentGuard.check(callerKeyID: "", profile: nil, environment: Environment([:]))
        try EnvironmentGuard.check(
            callerKeyID: "AKIAMINE", profile: nil, environment: Environment(["AWS_ACCESS_KEY_ID": "AKIAMINE"]))
    }

    @Test("a target has at most 260 characters, and an old instance id eight digits")
    func targets() throws {
        #expect(throws: Never.self) { try Target(parsing: String(repeating: "n", count: 260)) }
        #expect(throws: Failure.self) { try Target(parsing: String(repeating: "n", count: 261)) }
        for id in [
            "i-1234567", "i-123456789", "i-0123456789abcdef", "i-0123456789abcdefg", "i-0123456789abcdef/",
            "i-1234567:",
        ] {
            #expect(throws: Failure.self) { try Target(parsing: id) }
        }
        #expect(try Target(parsing: "i-89abcdef").kind == .instance(id: "i-89abcdef"))
    }
}
