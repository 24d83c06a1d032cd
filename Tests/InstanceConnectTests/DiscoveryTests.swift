import AWS
import Failures
import Logging
import Synchronization
import TestSupport
import Testing
import Transport

@testable import InstanceConnect

/// A small account behind EC2's API.
private struct Account: Sendable {
    struct Item: Sendable {
        var id = "i-00000000000000001"
        var state = "running"
        var vpc = "vpc-1"
        var subnet = "subnet-a"
        var zone = "eu-west-1a"
        var address = "10.0.1.5"
        var ipv6 = ""
        var name = ""
        var dns = ""

        var xml: String {
            func element(_ name: String, _ text: String) -> String { text.isEmpty ? "" : "<\(name)>\(text)</\(name)>" }
            return "<item>" + element("instanceId", id) + "<instanceState><name>\(state)</name></instanceState>"
                + element("vpcId", vpc) + element("subnetId", subnet) + element("privateIpAddress", address)
                + element("ipv6Address", ipv6) + element("privateDnsName", dns)
                + "<placement>\(element("availabilityZone", zone))</placement>"
                + "<tagSet><item><key>Name</key>\(element("value", name))</item></tagSet></item>"
        }
    }

    struct Door: Sendable {
        var id: String
        var state = "create-complete"
        var message = ""
        var vpc = "vpc-1"
        var subnet = "subnet-a"
        var zone = "eu-west-1a"
        var type = "ipv4"
        var dns = true

        var xml: String {
            "<item><instanceConnectEndpointId>\(id)</instanceConnectEndpointId><state>\(state)</state>"
                + (message.isEmpty ? "" : "<stateMessage>\(message)</stateMessage>")
                + (dns ? "<dnsName>\(id).example.com</dnsName><fipsDnsName>\(id).fips.example.com</fipsDnsName>" : "")
                + "<vpcId>\(vpc)</vpcId><subnetId>\(subnet)</subnetId><availabilityZone>\(zone)</availabilityZone>"
                + "<ipAddressType>\(type)</ipAddressType></item>"
        }
    }

    var instances: [Item] = []
    var endpoints: [Door] = []

    func answer(_ request: HTTPStub.Request) -> HTTPStub.Answer {
        let fields = Dictionary(
            request.body.split(separator: "&").map { pair in
                let parts = pair.split(separator: "=", maxSplits: 1)
                return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
            }, uniquingKeysWith: { $1 })
        let value = fields["Filter.1.Value.1"]
        if fields["Action"] == "DescribeInstances" {
            let found = instances.filter { item in
                if let id = fields["InstanceId.1"] { return item.id == id }
                return switch fields["Filter.1.Name"] {
                case "tag%3AName": item.name == value
                case "private-ip-address": item.address == value
                case "private-dns-name": item.dns == value
                case "tag-key": !item.name.isEmpty && item.state != "terminated"
                default: false
                }
            }
            if found.isEmpty, fields["InstanceId.1"] != nil {
                return .init(
                    400,
                    "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>gone</Message></Error></Errors></Response>"
                )
            }
            let items = found.map(\.xml).joined()
            return .init(
                200,
                """
                <DescribeInstancesResponse><reservationSet><item><instancesSet>\(items)</instancesSet></item>\
                </reservationSet></DescribeInstancesResponse>
                """)
        }
        let wanted = fields["InstanceConnectEndpointId.1"]
        let found = endpoints.filter { door in wanted.map { $0 == door.id } ?? (door.vpc == value) }
        return .init(
            200,
            """
            <DescribeInstanceConnectEndpointsResponse><instanceConnectEndpointSet>\(found.map(\.xml).joined())\
            </instanceConnectEndpointSet></DescribeInstanceConnectEndpointsResponse>
            """)
    }
}

@Suite struct DiscoveryTests {
    private func discovery(
        _ account: Account, _ variables: [String: String] = [:],
        now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) throws -> (Discovery, HTTPStub) {
        let stub = try HTTPStub { account.answer($0) }
        let base = [
            "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_REGION": "eu-west-1",
        ]
        let context = AWSContext(
            environment: Environment(base.merging(variables) { $1 }), logger: Logger(label: "test"))
        return (Discovery(context: context, now: now), stub)
    }

    private func request(_ target: String, endpoint: String? = nil, dns: String? = nil) throws -> RouteRequest {
        RouteRequest(target: try Target(parsing: target), remotePort: 22, endpointID: endpoint, endpointDNSName: dns)
    }

    private func failure(_ account: Account, _ request: RouteRequest, _ variables: [String: String] = [:]) async throws
        -> Failure
    {
        let (discovery, stub) = try discovery(account, variables)
        defer { withExtendedLifetime(stub) {} }
        return try #require(await #expect(throws: Failure.self) { try await discovery.resolve(request) })
    }

    private static let doors = [
        Account.Door(id: "eice-3", subnet: "subnet-c", zone: "eu-west-1c"),
        Account.Door(id: "eice-2", subnet: "subnet-b", zone: "eu-west-1a"),
        Account.Door(id: "eice-1", subnet: "subnet-a", zone: "eu-west-1a"),
        Account.Door(id: "eice-0", vpc: "vpc-2"),
    ]

    @Test func theSubnetsEndpointIsFirstThenTheZonesThenTheRest() async throws {
        let (discovery, stub) = try discovery(Account(instances: [.init()], endpoints: Self.doors))
        defer { withExtendedLifetime(stub) {} }
        let route = try await discovery.resolve(try request("i-00000000000000001"))
        #expect(route.candidates.map(\.gateway.id) == ["eice-1", "eice-2", "eice-3"])
        #expect(route.candidates.map(\.nearness) == [.sameSubnet, .sameZone, .otherZone])
        #expect(route.path.host?.host == "eice-1.example.com")
        #expect(route.address == "10.0.1.5")
        #expect(route.instanceID == "i-00000000000000001")
        #expect(route.region == "eu-west-1")
        #expect(route.targetDescription == "i-00000000000000001 (10.0.1.5)")
    }

    @Test("a pseudo region leads to FIPS names, and signatures name the real region")
    func pseudoRegion() async throws {
        let account = Account(instances: [.init()], endpoints: Self.doors)
        for variables in [["AWS_REGION": "fips-us-gov-west-1"], ["AWS_REGION": "us-gov-west-1-fips"]] {
            let (discovery, stub) = try discovery(account, variables)
            let route = try await discovery.resolve(try request("i-00000000000000001"))
            #expect(route.region == "us-gov-west-1")
            #expect(route.candidates.compactMap(\.host?.host).allSatisfy { $0.hasSuffix(".fips.example.com") })
            let pinned = try await discovery.resolve(try request("10.0.1.5", endpoint: "eice-3"))
            #expect(pinned.path.host?.host == "eice-3.fips.example.com" && pinned.region == "us-gov-west-1")
            let given = try await discovery.resolve(
                try request("10.9.9.9", endpoint: "eice-1", dns: "door.example.com"))
            #expect(given.region == "us-gov-west-1")
            for request in stub.requests {
                #expect(request.header("authorization")?.contains("/us-gov-west-1/ec2/aws4_request") == true)
            }
            // What is renewed is what was asked for.
            #expect(try await discovery.renew(try request("i-00000000000000001"), leaving: .zero).end != nil)
        }
    }

    @Test(
        "a region that cannot be part of a signature is refused before anything is asked",
        arguments: ["a b", "r\n", "r/x"])
    func impossibleRegion(region: String) async throws {
        let (discovery, stub) = try discovery(Account(), ["AWS_REGION": region])
        let request = try request("10.9.9.9", endpoint: "eice-1", dns: "door.example.com")
        let failure = await #expect(throws: Failure.self) { try await discovery.resolve(request) }
        #expect(failure?.kind == .noRegion)
        #expect(stub.requests.isEmpty)
    }

    @Test("a resource-based private DNS name leads to the instance whose id it has")
    func resourceBasedName() async throws {
        let (discovery, stub) = try discovery(Account(instances: [.init()], endpoints: Self.doors))
        defer { withExtendedLifetime(stub) {} }
        for name in ["i-00000000000000001.eu-west-1.compute.internal", "I-00000000000000001.EC2.INTERNAL."] {
            let route = try await discovery.resolve(try request(name))
            #expect(route.instanceID == "i-00000000000000001")
            #expect(route.targetDescription == "\(name) (i-00000000000000001, 10.0.1.5)")
        }
    }

    /// Of an instance with two addresses each endpoint is a candidate, for the address that it reaches.
    @Test func endpointsOfBothFamiliesStandInForEachOther() async throws {
        let both = Account.Item(ipv6: "2001:db8::5")
        let doors = [
            Account.Door(id: "eice-4", subnet: "subnet-b"), Account.Door(id: "eice-6", type: "ipv6"),
            Account.Door(id: "eice-46", subnet: "subnet-c", zone: "eu-west-1c", type: "dualstack"),
        ]
        let (discovery, stub) = try discovery(Account(instances: [both], endpoints: doors))
        defer { withExtendedLifetime(stub) {} }
        let route = try await discovery.resolve(try request(both.id))
        #expect(route.candidates.map(\.gateway.id) == ["eice-4", "eice-46", "eice-6"])
        #expect(route.candidates.map(\.targetAddress) == ["10.0.1.5", "10.0.1.5", "2001:db8::5"])
        #expect(route.address == "10.0.1.5")
        let other = route.by(try #require(route.alternatives.last))
        #expect(other.path.gateway.id == "eice-6" && other.address == "2001:db8::5")
        #expect(other.by(try #require(other.alternatives.first)).address == "10.0.1.5")
    }

    @Test func aPinnedEndpointIsAskedForAnAddressThatItReaches() async throws {
        let both = Account.Item(ipv6: "2001:db8::5")
        let doors = [Account.Door(id: "eice-4"), Account.Door(id: "eice-6", type: "ipv6")]
        let account = Account(instances: [both], endpoints: doors)
        let (discovery, stub) = try discovery(account)
        defer { withExtendedLifetime(stub) {} }
        #expect(try await discovery.resolve(try request(both.id, endpoint: "eice-4")).address == "10.0.1.5")
        #expect(try await discovery.resolve(try request(both.id, endpoint: "eice-6")).address == "2001:db8::5")
        #expect(try await discovery.resolve(try request("2001:db8::9", endpoint: "eice-6")).address == "2001:db8::9")
        for (target, endpoint) in [("2001:db8::9", "eice-4"), ("10.0.1.9", "eice-6")] {
            let failure = try await failure(account, try request(target, endpoint: endpoint))
            #expect(failure.kind == .endpointUnusable)
            #expect(failure.what == "endpoint \(endpoint) does not reach \(target)")
        }
    }

    @Test func everythingGivenNeedsNoCall() async throws {
        let (discovery, stub) = try discovery(Account())
        defer { withExtendedLifetime(stub) {} }
        let route = try await discovery.resolve(try request("10.9.9.9", endpoint: "eice-1", dns: "door.example.com"))
        #expect(route.path.host?.host == "door.example.com")
        #expect(route.address == "10.9.9.9")
        #expect(stub.requests.isEmpty)
    }

    @Test func aPinnedEndpointIsNeverLeft() async throws {
        let account = Account(instances: [.init()], endpoints: Self.doors)
        let (discovery, stub) = try discovery(account)
        defer { withExtendedLifetime(stub) {} }
        let route = try await discovery.resolve(try request("i-00000000000000001", endpoint: "eice-3"))
        #expect(route.candidates.map(\.gateway.id) == ["eice-3"])
        #expect(route.path.nearness == .pinned)
        let byAddress = try await discovery.resolve(try request("10.0.1.5", endpoint: "eice-3"))
        #expect(byAddress.path.host?.host == "eice-3.example.com")
        #expect(stub.requests.count == 2)
        let unknown = try await failure(account, try request("10.0.1.5", endpoint: "eice-9"))
        #expect(unknown.kind == .noEndpoint)
        #expect(unknown.sentence.contains("eice-9"))
    }

    @Test func eachWrongStateIsOneSentenceWithItsIDs() async throws {
        let id = "i-00000000000000001"
        let unknown = try await failure(Account(), try request(id))
        #expect(unknown.kind == .unknownTarget)
        #expect(unknown.sentence.contains(id))
        let none = try await failure(Account(instances: [.init()]), try request(id))
        #expect(none.kind == .noEndpoint)
        #expect(none.sentence.contains("vpc-1"))
        let broken = Account.Door(id: "eice-1", state: "create-failed", message: "subnet is full")
        let deleting = Account.Door(id: "eice-2", state: "delete-in-progress")
        let unusable = try await failure(Account(instances: [.init()], endpoints: [broken, deleting]), try request(id))
        #expect(unusable.kind == .endpointUnusable)
        #expect(unusable.why == "eice-1 is create-failed: subnet is full; eice-2 is delete-in-progress")
        let stopped = try await failure(
            Account(instances: [.init(state: "stopped")], endpoints: Self.doors), try request(id))
        #expect(stopped.kind == .targetNotRunning)
        #expect(stopped.sentence.contains("\(id) is stopped"))
        #expect(stopped.hint?.contains("start-instances") == true)
        let homeless = try await failure(
            Account(instances: [.init(address: "")], endpoints: Self.doors), try request(id))
        #expect(homeless.kind == .targetWithoutAddress)
        #expect(homeless.sentence.contains(id))
        let wrongFamily = try await failure(
            Account(instances: [.init(address: "", ipv6: "2001:db8::5")], endpoints: Self.doors), try request(id))
        #expect(wrongFamily.kind == .endpointUnusable)
        let nameless = try await failure(
            Account(instances: [.init()], endpoints: [.init(id: "eice-1", dns: false)]), try request(id))
        #expect(nameless.kind == .endpointUnusable)
        let noID = try await failure(Account(), try request("10.0.0.1", dns: "a.example.com"))
        #expect(noID.kind == .usage)
    }

    @Test(arguments: ["update-in-progress", "update-complete", "update-failed"])
    func endpointsBeingChangedAreUsable(state: String) async throws {
        let (discovery, stub) = try discovery(
            Account(instances: [.init()], endpoints: [.init(id: "eice-1", state: state)]))
        defer { withExtendedLifetime(stub) {} }
        #expect(try await discovery.resolve(try request("i-00000000000000001")).path.gateway.id == "eice-1")
    }

    @Test func namesMeanTheExactTagElseAUniqueOneInAnyCase() async throws {
        let account = Account(
            instances: [
                .init(id: "i-00000000000000001", address: "10.0.0.1", name: "web"),
                .init(id: "i-00000000000000002", address: "10.0.0.2", name: "Web"),
                .init(id: "i-00000000000000003", address: "10.0.0.3", name: "Database"),
                .init(id: "i-00000000000000004", state: "stopped", address: "10.0.0.4", name: "database"),
                .init(id: "i-00000000000000005", address: "10.0.0.5", name: "twin"),
                .init(id: "i-00000000000000006", address: "10.0.0.6", name: "twin"),
                .init(id: "i-00000000000000007", state: "stopped", address: "10.0.0.7", name: "asleep"),
            ], endpoints: Self.doors)
        let (discovery, stub) = try discovery(account)
        defer { withExtendedLifetime(stub) {} }
        #expect(try await discovery.resolve(try request("Web.eice")).address == "10.0.0.2")
        #expect(try await discovery.resolve(try request("web")).address == "10.0.0.1")
        #expect(try await discovery.resolve(try request("database.eice")).address == "10.0.0.3")
        let several = try await failure(account, try request("WEB.eice"))
        #expect(several.kind == .ambiguousTarget)
        #expect(several.why.contains("i-00000000000000001") && several.why.contains("i-00000000000000002"))
        #expect(try await failure(account, try request("twin")).kind == .ambiguousTarget)
        #expect(try await failure(account, try request("asleep")).kind == .targetNotRunning)
        #expect(try await failure(account, try request("nobody")).kind == .unknownTarget)
    }

    @Test func addressesAndPrivateNamesAreLookedUp() async throws {
        let dns = "ip-10-0-1-5.eu-west-1.compute.internal"
        let (discovery, stub) = try discovery(Account(instances: [.init(dns: dns)], endpoints: Self.doors))
        defer { withExtendedLifetime(stub) {} }
        #expect(try await discovery.resolve(try request("10.0.1.5")).instanceID == "i-00000000000000001")
        #expect(try await discovery.resolve(try request(dns)).address == "10.0.1.5")
    }

    @Test func fipsNamesAreUsedWhereAskedFor() async throws {
        let (discovery, stub) = try discovery(
            Account(instances: [.init()], endpoints: Self.doors), ["AWS_USE_FIPS_ENDPOINT": "true"])
        defer { withExtendedLifetime(stub) {} }
        #expect(
            try await discovery.resolve(try request("i-00000000000000001")).path.host?.host == "eice-1.fips.example.com"
        )
    }

    @Test func answersAreKeptForAMinuteAndForgottenOnDemand() async throws {
        let start = ContinuousClock.now
        let seconds = Atomic(0)
        let (discovery, stub) = try discovery(
            Account(instances: [.init()], endpoints: Self.doors),
            now: { start + .seconds(seconds.load(ordering: .relaxed)) })
        defer { withExtendedLifetime(stub) {} }
        let request = try request("i-00000000000000001")
        _ = try await discovery.resolve(request)
        _ = try await discovery.resolve(request)
        #expect(stub.requests.count == 2)
        seconds.store(61, ordering: .relaxed)
        _ = try await discovery.resolve(request)
        #expect(stub.requests.count == 4)
        await discovery.forget(request)
        _ = try await discovery.resolve(request)
        #expect(stub.requests.count == 6)
    }

    @Test func whatIsInUseIsRenewedWhileItStillServes() async throws {
        let start = ContinuousClock.now
        let seconds = Atomic(0)
        let (discovery, stub) = try discovery(
            Account(instances: [.init(), .init(id: "i-00000000000000002")], endpoints: Self.doors),
            now: { start + .seconds(seconds.load(ordering: .relaxed)) })
        let request = try request("i-00000000000000001")
        let margin = Duration.seconds(20)
        #expect(try await discovery.renew(request, leaving: margin).end == start + .seconds(60))
        #expect(stub.requests.count == 2)
        seconds.store(39, ordering: .relaxed)
        _ = try await discovery.renew(request, leaving: margin)
        #expect(stub.requests.count == 2, "it is young enough")
        seconds.store(40, ordering: .relaxed)
        #expect(try await discovery.renew(request, leaving: margin).end == start + .seconds(100))
        #expect(stub.requests.count == 4)
        // The endpoints were just asked for.
        _ = try await discovery.renew(self.request("i-00000000000000002"), leaving: margin)
        #expect(stub.requests.count == 5)
        seconds.store(99, ordering: .relaxed)
        #expect(try await discovery.resolve(request).path.gateway.id == "eice-1")
        #expect(stub.requests.count == 5)
    }

    @Test func aRenewalThatHangsHoldsNobodyUp() async throws {
        let isHanging = Atomic(false)
        let account = Account(instances: [.init()], endpoints: Self.doors)
        let stub = try HTTPStub { isHanging.load(ordering: .relaxed) ? .silence : account.answer($0) }
        let variables = [
            "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1",
        ]
        let context = AWSContext(environment: Environment(variables), logger: Logger(label: "test"))
        let discovery = Discovery(context: context)
        let request = try request("i-00000000000000001")
        _ = try await discovery.resolve(request)
        isHanging.store(true, ordering: .relaxed)
        let renewal = Task { try await discovery.renew(request, leaving: .seconds(60)) }
        try await eventually("it is asked anew") { stub.requests.count == 3 }
        #expect(try await discovery.resolve(request).path.gateway.id == "eice-1")
        renewal.cancel()
        _ = await #expect(throws: Failure.self) { try await renewal.value }
    }

    @Test func aWayThatNeedsNoCallHasNoEnd() async throws {
        let (discovery, stub) = try discovery(Account())
        let pinned = try request("10.9.9.9", endpoint: "eice-1", dns: "door.example.com")
        #expect(try await discovery.renew(pinned, leaving: .seconds(20)).end == nil)
        #expect(stub.requests.isEmpty)
    }

    @Test func twentyWhoAskAtOnceAreTwoCalls() async throws {
        let (discovery, stub) = try discovery(Account(instances: [.init()], endpoints: Self.doors))
        defer { withExtendedLifetime(stub) {} }
        let request = try request("i-00000000000000001")
        try await withThrowingTaskGroup(of: Route.self) { group in
            for _ in 0..<20 { group.addTask { try await discovery.resolve(request) } }
            for try await route in group { #expect(route.path.gateway.id == "eice-1") }
        }
        #expect(stub.requests.count == 2)
    }

    @Test func withoutARegionNothingIsAsked() async throws {
        let failure = try await failure(Account(), try request("i-00000000000000001"), ["AWS_REGION": ""])
        #expect(failure.kind == .noRegion)
        #expect(failure.hint?.contains("--region") == true)
    }
}
