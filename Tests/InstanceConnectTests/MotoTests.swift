import AWS
import Failures
import Logging
import TestSupport
import Testing

@testable import InstanceConnect

/// Discovery and roles against moto's server, other people's idea of EC2 and STS. It knows no Instance Connect Endpoints, so the
/// script teaches it that one call.
@Suite(.enabled("python3 with moto[server] is not installed here") { try await Python.has("moto.server") })
struct MotoTests {
    private static let script = #"""
        import json, os, time
        os.environ.update(AWS_ACCESS_KEY_ID="AKIATEST", AWS_SECRET_ACCESS_KEY="s", AWS_DEFAULT_REGION="eu-west-1")
        import boto3
        from moto.server import ThreadedMotoServer
        from moto.ec2.responses import EC2Response

        def endpoints(self):
            vpc = self._get_param("Filter.1.Value.1")
            return 200, {}, """<DescribeInstanceConnectEndpointsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
              <requestId>r</requestId><instanceConnectEndpointSet><item><instanceConnectEndpointId>eice-1</instanceConnectEndpointId>
              <state>create-complete</state><dnsName>eice-1.example.com</dnsName><vpcId>%s</vpcId></item></instanceConnectEndpointSet>
              </DescribeInstanceConnectEndpointsResponse>""" % vpc
        EC2Response.describe_instance_connect_endpoints = endpoints

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = "http://%s:%d" % (host, port)
        ec2 = boto3.client("ec2", endpoint_url=url)
        image = ec2.describe_images()["Images"][0]["ImageId"]
        def run(name):
            made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}])["Instances"][0]
            return made["InstanceId"], made["PrivateIpAddress"], made["PrivateDnsName"], made["VpcId"]
        web, asleep = run("Web-1"), run("asleep")
        ec2.stop_instances(InstanceIds=[asleep[0]])
        print(json.dumps({"url": url}), " ".join(web), asleep[0], flush=True)
        time.sleep(600)
        """#

    private struct Moto {
        let child: ChildProcess
        let folder: TemporaryDirectory
        let url: String
        /// id, address, private DNS name, VPC of the running instance, id of the stopped one.
        let facts: [String]

        init() async throws {
            let folder = try TemporaryDirectory()
            let script = try folder.write("moto_stub.py", MotoTests.script)
            let child = try Python.start(script)
            self.folder = folder
            self.child = child
            let line = try await eventually("moto serves", within: .seconds(60)) { () -> String? in
                if let exit = child.exit { throw TestFailure("moto ended: \(exit)\n\(child.standardError)") }
                return child.standardOutput.split(separator: "\n").first { $0.hasPrefix("{\"url\"") }.map(String.init)
            }
            let words = line.split(separator: " ").map(String.init)
            url = String(words[1].dropFirst().dropLast(2))
            facts = Array(words.dropFirst(2))
        }

        func context(_ more: [String: String] = [:]) -> AWSContext {
            let variables = [
                "HOME": folder.path, "AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-west-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            ]
            return AWSContext(environment: Environment(variables.merging(more) { $1 }), logger: Logger(label: "test"))
        }
    }

    @Test func motosInstancesAreFoundByEachKindOfTarget() async throws {
        let moto = try await Moto()
        let keys = ["AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "s"]
        let discovery = Discovery(context: moto.context(keys))
        func route(_ target: String) async throws -> Route {
            try await discovery.resolve(RouteRequest(target: try Target(parsing: target), remotePort: 22))
        }
        for target in [moto.facts[0], moto.facts[1], moto.facts[2], "Web-1", "web-1.eice"] {
            let route = try await route(target)
            #expect(route.instanceID == moto.facts[0], "\(target)")
            #expect(route.address == moto.facts[1])
            #expect(route.vpcID == moto.facts[3])
            #expect(route.endpointDNSName == "eice-1.example.com")
        }
        for (target, kind) in [
            ("asleep", Failure.Kind.targetNotRunning), (moto.facts[4], .targetNotRunning), ("nobody", .unknownTarget),
            ("i-0123456789abcdef0", .unknownTarget), ("10.255.255.254", .unknownTarget),
        ] {
            let failure = await #expect(throws: Failure.self) { try await route(target) }
            #expect(failure?.kind == kind, "\(target): \(failure.map(\.description) ?? "")")
        }
    }

    @Test func motosRolesAreAssumed() async throws {
        let moto = try await Moto()
        try moto.folder.makeDirectory(".aws")
        try moto.folder.write(
            ".aws/config",
            """
            [profile role]
            role_arn = arn:aws:iam::123456789012:role/admin
            source_profile = base
            external_id = x
            [profile web]
            role_arn = arn:aws:iam::123456789012:role/web
            web_identity_token_file = \(try moto.folder.write("jwt", "token"))
            [profile base]
            aws_access_key_id = AKIATEST
            aws_secret_access_key = s
            """)
        let context = moto.context()
        for profile in ["role", "web"] {
            let credentials = try await context.credentials.credentials(profile: profile)
            #expect(credentials.accessKeyID.hasPrefix("ASIA"))
            #expect(credentials.sessionToken != nil)
            #expect((credentials.expiration ?? WallTime.now()) > WallTime.now().advanced(by: 600))
        }
    }
}
