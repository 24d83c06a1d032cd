import Basics
import Failures
import Logging
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct EC2Tests {
    static let instance = """
        <item><instanceId>i-1234567890abcdef0</instanceId><imageId>ami-bff32ccc</imageId>
        <instanceState><code>16</code><name>running</name></instanceState>
        <privateDnsName>ip-192-168-1-88.eu-west-1.compute.internal</privateDnsName>
        <instanceType>t2.micro</instanceType><placement><availabilityZone>eu-west-1c</availabilityZone><tenancy>default</tenancy></placement>
        <subnetId>subnet-56f5f633</subnetId><vpcId>vpc-11112222</vpcId><privateIpAddress>192.168.1.88</privateIpAddress>
        <groupSet><item><groupId>sg-e4076980</groupId><groupName>SecurityGroup1</groupName></item></groupSet>
        <tagSet><item><key>Name</key><value>Server_1 &amp; more</value></item><item><key>Empty</key><value/></item></tagSet>
        <networkInterfaceSet><item><ipv6AddressesSet><item><ipv6Address>2001:db8::88</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet>
        </item>
        """

    static func instances(_ items: String, token: String? = nil) -> String {
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
          <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
          <reservationSet><item><reservationId>r-1</reservationId><instancesSet>\(items)</instancesSet></item></reservationSet>
          \(token.map { "<nextToken>\($0)</nextToken>" } ?? "")
        </DescribeInstancesResponse>
        """
    }

    static func endpoints(_ items: String, token: String? = nil) -> String {
        """
        <DescribeInstanceConnectEndpointsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
        <instanceConnectEndpointSet>\(items)</instanceConnectEndpointSet>\(token.map { "<nextToken>\($0)</nextToken>" } ?? "")
        </DescribeInstanceConnectEndpointsResponse>
        """
    }

    static func error(_ code: String, _ message: String = "m") -> String {
        "<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>\(code)</Code><Message>\(message)</Message></Error></Errors><RequestID>req-7</RequestID></Response>"
    }

    private func context(_ stub: HTTPStub, _ variables: [String: String] = [:]) -> AWSContext {
        let base = [
            "AWS_ENDPOINT_URL_EC2": stub.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        ]
        return AWSContext(
            environment: Environment(base.merging(variables) { $1 }),
            clock: SigningClock { WallTime(secondsSinceEpoch: 1_440_938_160) }, logger: Logger(label: "test"))
    }

    private func ec2(_ stub: HTTPStub) -> EC2 { EC2(context: context(stub), profile: nil, region: "eu-west-1") }

    @Test func instancesAreReadAndTheCallIsSigned() async throws {
        let stub = try HTTPStub { _ in .init(200, Self.instances(Self.instance)) }
        let found = try await ec2(stub).describeInstances(ids: ["i-1234567890abcdef0"], purpose: "look up i-1")
        let instance = try #require(found.first)
        #expect(instance.id == "i-1234567890abcdef0")
        #expect(instance.state == "running")
        #expect(instance.zone == "eu-west-1c")
        #expect(instance.subnetID == "subnet-56f5f633")
        #expect(instance.privateAddress == "192.168.1.88")
        #expect(instance.ipv6Address == "2001:db8::88")
        #expect(instance.name == "Server_1 & more")
        #expect(instance.tags["Empty"] == "")
        #expect(instance.securityGroups == ["sg-e4076980"])
        let request = try #require(stub.requests.first)
        #expect(request.method == "POST")
        #expect(request.body == "Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-1234567890abcdef0")
        #expect(request.header("host") == "127.0.0.1:\(stub.port)")
        #expect(request.header("x-amz-date") == "20150830T123600Z")
        let authorization = try #require(request.header("authorization"))
        #expect(authorization.contains("Credential=AKIDEXAMPLE/20150830/eu-west-1/ec2/aws4_request"))
        #expect(authorization.contains("SignedHeaders=content-type;host;x-amz-date"))
    }

    @Test func pagesAreFollowedToTheEnd() async throws {
        let stub = try HTTPStub { request in
            let item = { (id: String) in
                "<item><instanceConnectEndpointId>\(id)</instanceConnectEndpointId><state>create-complete</state></item>"
            }
            if request.body.contains("NextToken=two%2B") { return .init(200, Self.endpoints(item("eice-3"))) }
            return .init(200, Self.endpoints(item("eice-1") + item("eice-2"), token: "two+"))
        }
        let found = try await ec2(stub).describeInstanceConnectEndpoints(
            filters: [EC2.Filter("vpc-id", "vpc-1")], purpose: "look")
        #expect(found.map(\.id) == ["eice-1", "eice-2", "eice-3"])
        #expect(try #require(stub.requests.first).body.contains("Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1"))
    }

    @Test func endpointsAreReadWithAllTheirNames() async throws {
        let stub = try HTTPStub { _ in
            .init(
                200,
                Self.endpoints(
                    """
                    <item><instanceConnectEndpointId>eice-1</instanceConnectEndpointId><state>create-failed</state>
                    <stateMessage>no room</stateMessage><dnsName>a</dnsName><fipsDnsName>f</fipsDnsName><vpcId>vpc-1</vpcId>
                    <subnetId>subnet-1</subnetId><availabilityZone>eu-west-1a</availabilityZone><preserveClientIp>false</preserveClientIp>
                    <ipAddressType>dualstack</ipAddressType><securityGroupIdSet><item>sg-1</item></securityGroupIdSet>
                    <publicDnsNames><ipv4><dnsName>a4</dnsName></ipv4><dualstack><dnsName>ds</dnsName><fipsDnsName>dsf</fipsDnsName></dualstack></publicDnsNames></item>
                    """))
        }
        let endpoint = try #require(try await ec2(stub).describeInstanceConnectEndpoints(purpose: "look").first)
        #expect(!endpoint.isUsable)
        #expect(endpoint.stateMessage == "no room")
        #expect(endpoint.preservesClientIP == false)
        #expect(endpoint.securityGroups == ["sg-1"])
        #expect(endpoint.host(usesFIPS: false, usesDualStack: false) == "a")
        #expect(endpoint.host(usesFIPS: true, usesDualStack: false) == "f")
        #expect(endpoint.host(usesFIPS: false, usesDualStack: true) == "ds")
        #expect(endpoint.host(usesFIPS: true, usesDualStack: true) == "dsf")
    }

    @Test(arguments: [
        (400, "InvalidInstanceID.NotFound", Failure.Kind.unknownTarget),
        (400, "InvalidInstanceID.Malformed", .unknownTarget),
        (400, "InvalidInstanceConnectEndpointId.NotFound", .noEndpoint),
        (403, "UnauthorizedOperation", .accessDenied),
        (401, "AuthFailure", .accessDenied),
        (400, "ExpiredToken", .expiredCredentials),
        (400, "RequestExpired", .accessDenied),
        (403, "SomethingNew", .configuration),
    ])
    func errorCodesAreToldApart(status: Int, code: String, kind: Failure.Kind) async throws {
        let stub = try HTTPStub { _ in .init(status, Self.error(code, "the message")) }
        let failure = try #require(
            await #expect(throws: Failure.self) { try await ec2(stub).describeInstances(purpose: "look up web") })
        #expect(failure.kind == kind)
        #expect(failure.sentence.contains("\(code): the message (HTTP \(status), request req-7)"))
        #expect(stub.requests.count == 1)
    }

    @Test(arguments: [
        (503, "RequestLimitExceeded", Failure.Kind.throttled), (500, "InternalError", .serviceUnavailable),
    ])
    func passingTroubleIsTriedThreeTimes(status: Int, code: String, kind: Failure.Kind) async throws {
        let stub = try HTTPStub { _ in .init(status, Self.error(code)) }
        let failure = await #expect(throws: Failure.self) { try await ec2(stub).describeInstances(purpose: "look") }
        #expect(failure?.kind == kind)
        #expect(stub.requests.count == 3)
    }

    @Test(arguments: [(503, "RequestLimitExceeded"), (500, "InternalError"), (400, "Throttling")])
    func passingTroubleThatPassesGoesUnnoticed(status: Int, code: String) async throws {
        let count = Atomic(0)
        let stub = try HTTPStub { _ in
            count.add(1, ordering: .relaxed).newValue < 3
                ? .init(status, Self.error(code)) : .init(200, Self.instances(Self.instance))
        }
        #expect(try await ec2(stub).describeInstances(purpose: "look").count == 1)
        #expect(stub.requests.count == 3)
    }

    @Test func whoGivesUpWaitsForNoFurtherAttempt() async throws {
        let policy = RetryPolicy(attempts: 9, firstPause: .seconds(600))
        let failure = Failure(.throttled, "too much")
        let waiting = Task { try await policy.pause(after: 1, giving: failure) }
        waiting.cancel()
        #expect(await #expect(throws: Failure.self) { try await waiting.value } == failure)
    }

    @Test func aWrongClockIsCorrectedOnceByTheAnswersDate() async throws {
        let stub = try HTTPStub { request in
            request.header("x-amz-date") == "20150830T133600Z"
                ? .init(200, Self.instances(""))
                : .init(400, headers: [("Date", "Sun, 30 Aug 2015 13:36:00 GMT")], Self.error("RequestExpired"))
        }
        let context = context(stub)
        let ec2 = EC2(context: context, profile: nil, region: "eu-west-1")
        #expect(try await ec2.describeInstances(purpose: "look").isEmpty)
        #expect(stub.requests.count == 2)
        #expect(context.clock.correction == 3_600)
    }

    @Test func manyWhoFindTheClockWrongAtTheSameTimeAllGoOn() async throws {
        let stub = try HTTPStub { request in
            request.header("x-amz-date") == "20150830T133600Z"
                ? .init(200, Self.instances(""))
                : .init(403, headers: [("Date", "Sun, 30 Aug 2015 13:36:00 GMT")], Self.error("RequestExpired"))
        }
        let context = context(stub)
        let ec2 = EC2(context: context, profile: nil, region: "eu-west-1")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<10 {
                group.addTask { _ = try await ec2.describeInstances(purpose: "look \(number)") }
            }
            try await group.waitForAll()
        }
        #expect(context.clock.correction == 3_600)
    }

    @Test func requestExpiredWithARightClockMeansTheSessionToken() async throws {
        let stub = try HTTPStub { _ in
            .init(400, headers: [("Date", "Sun, 30 Aug 2015 12:36:00 GMT")], Self.error("RequestExpired"))
        }
        let context = context(stub, ["AWS_SESSION_TOKEN": "t"])
        let ec2 = EC2(context: context, profile: nil, region: "eu-west-1")
        let failure = await #expect(throws: Failure.self) { try await ec2.describeInstances(purpose: "look") }
        #expect(failure?.kind == .expiredCredentials)
        #expect(failure?.why.contains("RequestExpired") == true)
        #expect(await context.credentials.neededLogin(profile: nil) != nil)
    }

    @Test func anAnswerThatIsNoXMLIsRefused() async throws {
        for body in [
            "<html><body>Sign in", "", "{}", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            String(repeating: "<a>", count: 100),
        ] {
            let stub = try HTTPStub { _ in .init(200, body) }
            let failure = await #expect(throws: Failure.self) { try await ec2(stub).describeInstances(purpose: "look") }
            #expect(failure?.kind == .protocolMismatch)
        }
    }

    @Test(
        "well-formed XML that is not the answer to the call is no empty list",
        arguments: [
            #"<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Access blocked</title></head><body><p>Ask the help desk.</p></body></html>"#,
            "<Response><Errors/></Response>", "<DescribeInstancesResult/>", "<describeinstancesresponse/>",
            "<DescribeInstanceConnectEndpointsResponse/>", "<rss/>", "<svg/>", "<x:html xmlns:x='u'/>",
            "<html><DescribeInstancesResponse/></html>",
        ])
    func foreignRoot(body: String) async throws {
        let stub = try HTTPStub { _ in .init(200, body) }
        let failure = try #require(
            await #expect(throws: Failure.self) { try await ec2(stub).describeInstances(purpose: "look up web") })
        #expect(failure.kind == .protocolMismatch)
        #expect(failure.what == "cannot look up web")
        #expect(failure.why.contains("the answer is not from AWS: its root element is "), "\(failure)")
        #expect(failure.hint == ForeignAnswer.hint)
        #expect(stub.requests.count == 1)
    }

    @Test("the root element of an answer may have a prefix, as namespaces have")
    func prefixedRoot() async throws {
        let stub = try HTTPStub { _ in
            .init(200, #"<e:DescribeInstancesResponse xmlns:e="http://ec2.amazonaws.com/doc/2016-11-15/"/>"#)
        }
        #expect(try await ec2(stub).describeInstances(purpose: "look").isEmpty)
    }

    @Test(
        "an error page is said to be one and is not shown",
        arguments: [
            (403, "<html><body><h1>Blocked</h1></body></html>", Failure.Kind.protocolMismatch),
            (403, "<!DOCTYPE html>\n<p>Blocked", .protocolMismatch),
            (302, "\u{FEFF} <html><a href='http://portal'>Blocked</a>", .protocolMismatch),
            (407, "<html><Error><Code>AccessDenied</Code></Error></html>", .protocolMismatch),
            (503, "<html>Blocked</html>", .serviceUnavailable),
        ])
    func errorPage(status: Int, body: String, kind: Failure.Kind) async throws {
        let stub = try HTTPStub { _ in .init(status, body) }
        let failure = try #require(
            await #expect(throws: Failure.self) { try await ec2(stub).describeInstances(purpose: "look") })
        #expect(failure.kind == kind, "\(failure)")
        #expect(failure.why == "the answer is not from AWS: it is a page (HTTP \(status))", "\(failure)")
    }

    @Test func anErrorBodyThatIsNoXMLIsShownAsText() async throws {
        let stub = try HTTPStub { _ in .init(404, "not\u{1B}[31m here") }
        let failure = await #expect(throws: Failure.self) { try await ec2(stub).describeInstances(purpose: "look") }
        #expect(failure?.why == "not\\u{1B}[31m here (HTTP 404)")
    }

    @Test("what an instance says of itself is a name by its pattern, or text for messages")
    func hostileInstance() async throws {
        for bad in ["\n$(id)", "&#x85;", "&#x2028;", "&#x202E;", "%1b[2J", ";id", " x", "&#x9B;1m", "&#13;&#10;X: y"] {
            let item = """
                <item><instanceId>i-1</instanceId><instanceState><name>run\(bad)ning</name></instanceState>
                <vpcId>vpc-\(bad)1</vpcId><subnetId>subnet-\(bad)1</subnetId><privateIpAddress>10.0.\(bad)0.1</privateIpAddress>
                <placement><availabilityZone>eu-\(bad)west-1a</availabilityZone></placement>
                <privateDnsName>a.\(bad)internal</privateDnsName><groupSet><item><groupId>sg-\(bad)1</groupId></item></groupSet>
                <tagSet><item><key>Name</key><value>web\(bad)</value></item></tagSet></item>
                <item><instanceId>i-\(bad)2</instanceId></item><item><instanceId>--option</instanceId></item>
                """
            let stub = try HTTPStub { _ in .init(200, Self.instances(item)) }
            let found = try await ec2(stub).describeInstances(purpose: "look")
            #expect(found.map(\.id) == ["i-1"])
            let instance = try #require(found.first)
            #expect(instance.state == "unknown" && instance.vpcID == nil && instance.subnetID == nil, "\(bad)")
            #expect(instance.privateAddress == nil && instance.zone == nil && instance.securityGroups.isEmpty, "\(bad)")
            #expect(instance.privateDNSName == nil, "\(bad)")
            let name = try #require(instance.name)
            #expect(name.hasPrefix("web") && !name.unicodeScalars.contains(where: ForeignText.isUnsafe), "\(name)")
        }
    }

    @Test("an endpoint whose DNS name is none has none, whatever it would become part of")
    func hostileEndpoint() async throws {
        for bad in ["a.b&#13;&#10;X-Evil: 1", "a.b:443", "a b", "a/b", "a@b", ".a", "a&#0;", "a&#x202E;b", "é.example"]
        {
            let item = """
                <item><instanceConnectEndpointId>eice-1</instanceConnectEndpointId><state>create-complete</state>
                <dnsName>\(bad)</dnsName><fipsDnsName>\(bad)</fipsDnsName>
                <stateMessage>why\nnot &#x9B;2J \(String(repeating: "x", count: 5_000))</stateMessage></item>
                """
            let stub = try HTTPStub { _ in .init(200, Self.endpoints(item.replacing("&#0;", with: "&#x1;"))) }
            guard let found = try? await ec2(stub).describeInstanceConnectEndpoints(purpose: "look") else { continue }
            let endpoint = try #require(found.first)
            #expect(endpoint.host(usesFIPS: false, usesDualStack: false) == nil, "\(bad)")
            #expect(endpoint.host(usesFIPS: true, usesDualStack: true) == nil, "\(bad)")
            #expect(endpoint.stateMessage?.unicodeScalars.contains(where: ForeignText.isUnsafe) == false)
            #expect(try #require(endpoint.stateMessage).unicodeScalars.count < 400)
        }
    }

    @Test("an answer that repeats the request's secrets shows none of them") func parrotOfSecrets() async throws {
        let token = "IQoJb3JpZ2luX2VjEPT+planted/token+of+the+caller=="
        let stub = try HTTPStub { request in
            let signature = request.header("authorization")?.split(separator: "Signature=").last.map(String.init) ?? ""
            let text = "a \(token) b \(signature) c AKIDEXAMPLE-AND-LONGER d \(token.prefix(20))"
            return .init(
                200,
                Self.instances(
                    "<item><instanceId>i-1</instanceId><instanceState><name>running</name></instanceState><vpcId>vpc-\(signature.prefix(40))</vpcId><tagSet><item><key>Name</key><value>\(text)</value></item></tagSet></item>"
                ))
        }
        let ec2 = EC2(
            context: context(stub, ["AWS_SESSION_TOKEN": token, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE-AND-LONGER"]),
            profile: nil, region: "eu-west-1")
        let instance = try #require(try await ec2.describeInstances(purpose: "look").first)
        #expect(instance.name == "a … b … c … d …")
        #expect(instance.vpcID == nil)
    }

    @Test("a secret with a line end is not sent as two headers") func injectedHeaders() async throws {
        let stub = try HTTPStub { _ in .init(200, Self.instances("")) }
        let ec2 = EC2(
            context: context(stub, ["AWS_SESSION_TOKEN": "a\r\nX-Evil: 1"]), profile: nil, region: "eu-west-1")
        let failure = await #expect(throws: Failure.self) { try await ec2.describeInstances(purpose: "look") }
        #expect(failure != nil && stub.requests.isEmpty)
    }

    @Test func filterValuesAreTakenLiterally() {
        #expect(EC2.Filter.literal("a*b?c\\d") == "a\\*b\\?c\\\\d")
    }
}
