import TestSupport
import Testing

/// The built daemon with moto as EC2 and STS, and the emulator as the endpoint that leads into its VPC.
@Suite(.enabled("python3 with moto[server] is not installed here") { try await MotoServer.isInstalled() })
struct MotoTests {
    private static let name = "\(Scene.endpoint).ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"

    @Test func motosInstanceIsReachedByEachOfItsNamesAndWithARoleOfMotos() async throws {
        let moto = try await MotoServer(endpoint: Scene.endpoint, dnsName: Self.name)
        let greeter = try LoopbackServer.greeter()
        let inventory = """
            {"region": "eu-west-1",
             "endpoints": [{"id": "\(Scene.endpoint)", "vpc": "vpc-0aaaaaaaaaaaaaaa1", "subnet": "subnet-0aaaaaaaaaaaaaaa1"}],
             "instances": [{"id": "\(Scene.web)", "privateIp": "\(moto.address)",
               "vpc": "vpc-0aaaaaaaaaaaaaaa1", "subnet": "subnet-0aaaaaaaaaaaaaaa1"}],
             "targets": {"\(moto.address):22": "127.0.0.1:\(greeter.port)"}}
            """
        try await Scene.onStage {
            let emulator = try await Emulator.start(inventory: inventory)
            let home = try TemporaryDirectory("person")
            var variables = emulator.environment
            for service in ["EC2", "STS"] { variables["AWS_ENDPOINT_URL_\(service)"] = moto.url }
            variables["AWS_CONFIG_FILE"] = try home.write(
                "config",
                """
                [profile role]
                role_arn = arn:aws:iam::123456789012:role/r
                credential_source = Environment
                """)
            let daemon = try await EicedDaemon.start(environment: variables)
            for target in [moto.instance, moto.address, moto.privateName, "Web-1", "web-1.eice"] {
                let result = try await daemon.eicectl("proxy", target, "22", "--stdio")
                #expect(result.code == 0, "\(result)\n\(daemon.log)")
            }
            #expect(greeter.acceptedCount == 5)
            for (target, word) in [("asleep", "stopped"), (moto.stopped, "stopped"), ("nobody", "nobody")] {
                let result = try await daemon.eicectl("proxy", target, "22", "--stdio")
                #expect(result.code == 68 && result.errors.contains(word), "\(result)")
            }
            // STS gives keys that moto's EC2 takes; the emulator knows its own alone.
            let role = try await daemon.eicectl("proxy", moto.instance, "22", "--stdio", "--profile", "role")
            #expect(role.code == 77 && role.errors.contains("UnrecognizedClientException"), "\(role)")
            #expect(role.errors.contains("role arn:aws:iam::123456789012:role/r"), "\(role)")
        }
    }
}
