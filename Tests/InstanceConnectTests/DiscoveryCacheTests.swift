import AWS
import Failures
import Logging
import Synchronization
import TestSupport
import Testing
import Transport

@testable import InstanceConnect

/// What discovery keeps, and for whom.
@Suite struct DiscoveryCacheTests {
    private let stub: HTTPStub
    private let folder: TemporaryDirectory

    init() throws {
        folder = try TemporaryDirectory()
        try folder.write("config", "[profile a]\nregion = x\n[profile b]\nregion = x\n")
        stub = try HTTPStub { request in
            if request.body.contains("Action=DescribeInstances&") {
                return .init(
                    200,
                    """
                    <DescribeInstancesResponse><reservationSet><item><instancesSet><item>\
                    <instanceId>i-00000000000000001</instanceId>\
                    <instanceState><name>running</name></instanceState><vpcId>vpc-1</vpcId>\
                    <privateIpAddress>10.0.1.5</privateIpAddress></item></instancesSet></item></reservationSet>\
                    </DescribeInstancesResponse>
                    """)
            }
            let id = request.body.contains("eice-2") ? "eice-2" : "eice-1"
            return .init(
                200,
                """
                <DescribeInstanceConnectEndpointsResponse><instanceConnectEndpointSet><item>\
                <instanceConnectEndpointId>\(id)</instanceConnectEndpointId>\
                <state>create-complete</state><dnsName>\(id).example</dnsName></item></instanceConnectEndpointSet>\
                </DescribeInstanceConnectEndpointsResponse>
                """)
        }
    }

    private func discovery() -> Discovery {
        let variables = [
            "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": folder("config"), "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_REGION": "eu-west-1",
        ]
        let credentials = Credentials(accessKeyID: "AKIDEXAMPLE", secretAccessKey: "secret")
        return Discovery(
            context: AWSContext(
                environment: Environment(variables), sources: [FixedSource(credentials: credentials)],
                logger: Logger(label: "test")))
    }

    private struct FixedSource: CredentialSource {
        let name = "fixed"
        let credentials: Credentials
        func credentials(in context: SourceContext) async throws(Failure) -> Credentials? { credentials }
    }

    private func request(
        _ profile: String? = nil, region: String? = nil, port: UInt16 = 22, endpoint: String? = nil
    ) throws -> RouteRequest {
        RouteRequest(
            target: try Target(parsing: "i-00000000000000001"), remotePort: port, profile: profile, region: region,
            endpointID: endpoint)
    }

    @Test("what one profile or region was told is told to no other, and all ports of a target share it")
    func isolation() async throws {
        let discovery = discovery()
        let requests = [
            try request(), try request("a"), try request("b"), try request(region: "eu-west-2"),
        ]
        for (index, request) in requests.enumerated() {
            #expect(try await discovery.resolve(request).profile == request.profile)
            #expect(stub.requests.count == 2 * (index + 1), "\(request)")
        }
        for request in requests { _ = try await discovery.resolve(request) }
        _ = try await discovery.resolve(try request("a", port: 3_389))
        #expect(stub.requests.count == 2 * requests.count)
    }

    @Test(
        "forgetting a target forgets its endpoints, those of its VPC and the one that it names, and nothing of others")
    func forgetting() async throws {
        let discovery = discovery()
        let (mine, pinned, other) = (try request("a"), try request("a", endpoint: "eice-2"), try request("b"))
        for request in [mine, pinned, other] { _ = try await discovery.resolve(request) }
        #expect(stub.requests.count == 5)
        await discovery.forget(mine)
        _ = try await discovery.resolve(mine)
        #expect(stub.requests.count == 7)
        _ = try await discovery.resolve(pinned)
        _ = try await discovery.resolve(other)
        #expect(stub.requests.count == 7)
        await discovery.forget(pinned)
        _ = try await discovery.resolve(pinned)
        #expect(stub.requests.count == 9)
        _ = try await discovery.resolve(other)
        #expect(stub.requests.count == 9)
    }

    @Test("a name of an endpoint without its id, and an id that is none, are refused without a call")
    func usage() async throws {
        let discovery = discovery()
        var named = try request()
        named.endpointDNSName = "a.example"
        for request in [named, try request(endpoint: "vpce-1")] {
            let failure = await #expect(throws: Failure.self) { try await discovery.resolve(request) }
            #expect(failure?.kind == .usage)
        }
        #expect(stub.requests.isEmpty)
    }

    @Test("a changed time to live counts for what is looked up from then on")
    func timeToLive() async throws {
        let discovery = discovery()
        let before = ContinuousClock.now
        let old = try await discovery.renew(request(), leaving: .zero).end
        #expect(try #require(old) >= before + .seconds(60))
        discovery.apply(timeToLive: .seconds(600))
        let fresh = try await discovery.renew(request("a"), leaving: .zero).end
        #expect(try #require(fresh) >= before + .seconds(600))
    }
}
