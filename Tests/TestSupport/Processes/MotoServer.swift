/// moto's server, other people's idea of EC2 and STS, with one running and one stopped instance. It knows no Instance Connect Endpoints,
/// so the script teaches it that one call.
public final class MotoServer: Sendable {
    /// Where EC2 and STS are served.
    public let url: String
    public let instance: String
    public let address: String
    public let privateName: String
    public let vpc: String
    /// The id of the one that is stopped.
    public let stopped: String
    private let child: ChildProcess
    private let folder: TemporaryDirectory

    /// Whether the tests' Python has it.
    public static func isInstalled() async throws -> Bool { try await Python.has("moto.server") }

    /// - Parameters:
    ///   - endpoint: the id of the endpoint that every VPC has.
    ///   - dnsName: its name.
    public init(endpoint: String, dnsName: String) async throws {
        folder = try TemporaryDirectory("moto")
        let child = try Python.start(try folder.write("server.py", Self.script), endpoint, dnsName)
        self.child = child
        let line = try await eventually("moto serves", within: .seconds(60)) { () -> String? in
            if let exit = child.exit { throw TestFailure("moto ended: \(exit)\n\(child.standardError)") }
            return child.standardOutput.split(separator: "\n").first { $0.hasPrefix("serving ") }.map(String.init)
        }
        let words = line.split(separator: " ").map(String.init)
        guard words.count == 7 else { throw TestFailure("moto says \(line)") }
        (url, instance, address) = (words[1], words[2], words[3])
        (privateName, vpc, stopped) = (words[4], words[5], words[6])
    }

    private static let script = #"""
        import os, sys, time
        os.environ.update(AWS_ACCESS_KEY_ID="AKIATEST", AWS_SECRET_ACCESS_KEY="s", AWS_DEFAULT_REGION="eu-west-1")
        import boto3
        from moto.server import ThreadedMotoServer
        from moto.ec2.responses import EC2Response

        def endpoints(self):
            vpc = self._get_param("Filter.1.Value.1")
            return 200, {}, """<DescribeInstanceConnectEndpointsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
              <requestId>r</requestId><instanceConnectEndpointSet><item><instanceConnectEndpointId>%s</instanceConnectEndpointId>
              <state>create-complete</state><dnsName>%s</dnsName><vpcId>%s</vpcId></item></instanceConnectEndpointSet>
              </DescribeInstanceConnectEndpointsResponse>""" % (sys.argv[1], sys.argv[2], vpc)
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
        print("serving", url, " ".join(web), asleep[0], flush=True)
        time.sleep(600)
        """#
}
