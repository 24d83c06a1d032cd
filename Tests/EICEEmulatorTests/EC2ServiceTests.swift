import OpenSSL
import Testing

@testable import EICEEmulator

@Suite struct EC2ServiceTests {
    private let now: Int64 = 1_795_352_400
    private let credentials = Credentials(accessKeyID: "AKIATEST", secretAccessKey: "secret")

    private func inventory() throws -> Inventory {
        var inventory = try Inventory.parse(Array(Inventory.example.utf8), name: "example")
        var second = Endpoint(id: "eice-0000000000000000b")
        second.vpc = "vpc-2"
        second.subnet = "subnet-2"
        second.state = "create-failed"
        second.stateMessage = "no <capacity> & no luck"
        inventory.endpoints += [second, Endpoint(id: "eice-0000000000000000c")]
        var stopped = Instance(id: "i-0000000000000000b", address: nil)
        stopped.privateIp = "10.0.1.6"
        stopped.ipv6 = "fd00::6"
        stopped.state = "stopped"
        stopped.name = "db"
        inventory.instances.append(stopped)
        return inventory
    }

    /// Signs as a client would, with the verifier's own rules turned around.
    private func call(_ body: String, key: String = "secret", region: String = "eu-west-1", pageSize: Int = 1_000)
        throws -> (status: Int, body: String)
    {
        let date = DateText.basic(now)
        let service = body.contains("GetCallerIdentity") ? "sts" : "ec2"
        let scope = "\(date.prefix(8))/\(region)/\(service)/aws4_request"
        let canonical =
            "POST\n/\n\nhost:localhost\nx-amz-date:\(date)\n\nhost;x-amz-date\n\(Digest.hexadecimal(Digest.sha256(body.utf8)))"
        let toSign = "AWS4-HMAC-SHA256\n\(date)\n\(scope)\n\(Digest.hexadecimal(Digest.sha256(canonical.utf8)))"
        var signingKey = Array("AWS4\(key)".utf8)
        for part in scope.split(separator: "/") { signingKey = Digest.hmacSHA256(key: signingKey, message: part.utf8) }
        let signature = Digest.hexadecimal(Digest.hmacSHA256(key: signingKey, message: toSign.utf8))
        let request = HTTPRequest(
            method: "POST", target: "/",
            fields: [
                .init(name: "Host", value: "localhost"), .init(name: "X-Amz-Date", value: date),
                .init(
                    name: "Authorization",
                    value:
                        "AWS4-HMAC-SHA256 Credential=AKIATEST/\(scope), SignedHeaders=host;x-amz-date, Signature=\(signature)"
                ),
            ], body: Array(body.utf8))
        var service1 = EC2Service(
            inventory: try inventory(), verifier: SignatureVerifier(credentials: credentials))
        service1.pageSize = pageSize
        let response = service1.answer(request, now: now, requestID: "req-1")
        return (response.status, String(decoding: response.body, as: UTF8.self))
    }

    private func values(_ element: String, in document: String) -> [String] {
        document.split(separator: "<\(element)>").dropFirst().map { String($0.prefix { $0 != "<" }) }
    }

    @Test func anInstanceIsDescribedByItsId() throws {
        let (status, body) = try call("Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-0123456789abcdef0")
        #expect(status == 200)
        #expect(values("instanceId", in: body) == ["i-0123456789abcdef0"])
        #expect(values("privateIpAddress", in: body).first == "10.0.1.5")
        #expect(values("privateDnsName", in: body) == ["ip-10-0-1-5.eu-west-1.compute.internal"])
        #expect(body.contains("<instanceState>\n"))
        #expect(values("name", in: body) == ["running"])
        #expect(values("key", in: body) == ["Name"])
    }

    @Test(arguments: [
        ("tag%3AName", "web-1", ["i-0123456789abcdef0"]), ("tag:Name", "WEB*", []),
        ("tag:Name", "w?b-*", ["i-0123456789abcdef0"]),
        ("private-ip-address", "10.0.1.6", ["i-0000000000000000b"]),
        ("ipv6-address", "fd00::6", ["i-0000000000000000b"]),
        ("private-dns-name", "ip-10-0-1-5.eu-west-1.compute.internal", ["i-0123456789abcdef0"]),
        ("instance-state-name", "stopped", ["i-0000000000000000b"]), ("vpc-id", "vpc-none", []),
        ("instance-id", "i-0*", ["i-0123456789abcdef0", "i-0000000000000000b"]),
    ])
    func filtersChooseInstances(name: String, value: String, ids: [String]) throws {
        let (status, body) = try call("Action=DescribeInstances&Filter.1.Name=\(name)&Filter.1.Value.1=\(value)")
        #expect(status == 200)
        #expect(values("instanceId", in: body) == ids)
    }

    @Test func severalFiltersMustAllFitAndOneOfTheirValues() throws {
        let (_, body) = try call(
            "Action=DescribeInstances&Filter.1.Name=instance-state-name&Filter.1.Value.1=running&Filter.1.Value.2=stopped&Filter.2.Name=tag%3AName&Filter.2.Value.1=db"
        )
        #expect(values("instanceId", in: body) == ["i-0000000000000000b"])
    }

    @Test func unknownAndMalformedIdsAreTold() throws {
        let unknown = try call("Action=DescribeInstances&InstanceId.1=i-0fffffffffffffff0")
        #expect(unknown.status == 400)
        #expect(values("Code", in: unknown.body) == ["InvalidInstanceID.NotFound"])
        #expect(values("Message", in: unknown.body) == ["The instance ID 'i-0fffffffffffffff0' does not exist"])
        #expect(values("RequestID", in: unknown.body) == ["req-1"])
        let malformed = try call("Action=DescribeInstances&InstanceId.1=i-nonsense")
        #expect(values("Code", in: malformed.body) == ["InvalidInstanceID.Malformed"])
        let endpoint = try call("Action=DescribeInstanceConnectEndpoints&InstanceConnectEndpointId.1=eice-none")
        #expect(values("Code", in: endpoint.body) == ["InvalidInstanceConnectEndpointId.NotFound"])
        let filter = try call("Action=DescribeInstances&Filter.1.Name=colour&Filter.1.Value.1=red")
        #expect(values("Code", in: filter.body) == ["InvalidParameterValue"])
    }

    @Test func endpointsComeWithStateAndNames() throws {
        let (status, body) = try call(
            "Action=DescribeInstanceConnectEndpoints&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-2")
        #expect(status == 200)
        #expect(values("instanceConnectEndpointId", in: body) == ["eice-0000000000000000b"])
        #expect(values("state", in: body) == ["create-failed"])
        #expect(values("stateMessage", in: body) == ["no &lt;capacity&gt; &amp; no luck"])
        let name = "eice-0000000000000000b.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"
        #expect(values("dnsName", in: body) == [name, name])
        let bySubnet = try call(
            "Action=DescribeInstanceConnectEndpoints&Filter.1.Name=subnet-id&Filter.1.Value.1=subnet-2")
        #expect(values("subnetId", in: bySubnet.body) == ["subnet-2"])
    }

    @Test(arguments: [(1, "MaxResults=50"), (1_000, "MaxResults=1")])
    func endpointsArePaged(pageSize: Int, parameter: String) throws {
        var found: [String] = []
        var token = ""
        for _ in 0..<4 {
            let encoded = PercentCoding.encode(token.utf8)
            let (status, body) = try call(
                "Action=DescribeInstanceConnectEndpoints&\(parameter)&NextToken=\(encoded)", pageSize: pageSize)
            #expect(status == 200)
            found += values("instanceConnectEndpointId", in: body)
            token = values("nextToken", in: body).first ?? ""
            if token.isEmpty { break }
        }
        #expect(found == ["eice-0123456789abcdef0", "eice-0000000000000000b", "eice-0000000000000000c"])
    }

    @Test func wrongPagesAreRefused() throws {
        let size = try call("Action=DescribeInstanceConnectEndpoints&MaxResults=51")
        #expect(values("Code", in: size.body) == ["InvalidParameterValue"])
        let token = try call("Action=DescribeInstanceConnectEndpoints&NextToken=made+up")
        #expect(values("Code", in: token.body) == ["InvalidNextToken"])
    }

    @Test func wrongSignaturesAreRefused() throws {
        let wrong = try call("Action=DescribeInstances", key: "other")
        #expect(wrong.status == 403)
        #expect(values("Code", in: wrong.body) == ["SignatureDoesNotMatch"])
        let service = EC2Service(inventory: try inventory(), verifier: SignatureVerifier(credentials: credentials))
        let unsigned = HTTPRequest(
            method: "POST", target: "/", fields: [], body: Array("Action=DescribeInstances".utf8))
        #expect(service.answer(unsigned, now: now, requestID: "r").status == 403)
        let elsewhere = try call("Action=DescribeInstances", region: "us-east-1")
        #expect(values("Code", in: elsewhere.body) == ["AuthFailure"])
    }

    @Test func unknownActionsAreNamed() throws {
        let (status, body) = try call("Action=RunInstances")
        #expect(status == 400)
        #expect(values("Message", in: body) == ["The action RunInstances is not valid for this web service."])
    }

    @Test func theCallerIsKnown() throws {
        let (status, body) = try call("Action=GetCallerIdentity&Version=2011-06-15")
        #expect(status == 200)
        #expect(values("Arn", in: body) == ["arn:aws:iam::123456789012:user/emulator"])
    }

    @Test func wildcardsOfFilters() {
        #expect(EC2Query.matches("abc", pattern: "a*c"))
        #expect(EC2Query.matches("abc", pattern: "***"))
        #expect(EC2Query.matches("", pattern: "*"))
        #expect(!EC2Query.matches("abc", pattern: "a?"))
        #expect(EC2Query.matches("a*c", pattern: "a\\*c"))
        #expect(!EC2Query.matches("abc", pattern: "a\\*c"))
        #expect(EC2Query.matches("mississippi", pattern: "m*iss*pi"))
    }
}
