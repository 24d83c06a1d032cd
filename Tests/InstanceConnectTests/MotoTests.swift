import AWS
import Basics
import Failures
import Logging
import TestSupport
import Testing
import Transport

@testable import InstanceConnect

/// Discovery and roles against moto's server, other people's idea of EC2 and STS.
@Suite(.enabled("python3 with moto[server] is not installed here") { try await MotoServer.isInstalled() })
struct MotoTests {
    private func context(_ moto: MotoServer, _ more: [String: String]) -> AWSContext {
        let variables = [
            "AWS_ENDPOINT_URL": moto.url, "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
        ]
        return AWSContext(environment: Environment(variables.merging(more) { $1 }), logger: Logger(label: "test"))
    }

    @Test func motosInstancesAreFoundByEachKindOfTarget() async throws {
        let moto = try await MotoServer(endpoint: "eice-1", dnsName: "eice-1.example.com")
        let keys = ["AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "s"]
        let discovery = Discovery(context: context(moto, keys))
        func route(_ target: String) async throws -> Route {
            try await discovery.resolve(RouteRequest(target: try Target(parsing: target), remotePort: 22))
        }
        for target in [moto.instance, moto.address, moto.privateName, "Web-1", "web-1.eice"] {
            let route = try await route(target)
            #expect(route.instanceID == moto.instance, "\(target)")
            #expect(route.address == moto.address)
            #expect(route.vpcID == moto.vpc)
            #expect(route.path.host?.host == "eice-1.example.com")
        }
        for (target, kind) in [
            ("asleep", Failure.Kind.targetNotRunning), (moto.stopped, .targetNotRunning), ("nobody", .unknownTarget),
            ("i-0123456789abcdef0", .unknownTarget), ("10.255.255.254", .unknownTarget),
        ] {
            let failure = await #expect(throws: Failure.self) { try await route(target) }
            #expect(failure?.kind == kind, "\(target): \(failure.map(\.description) ?? "")")
        }
    }

    @Test func motosRolesAreAssumed() async throws {
        let moto = try await MotoServer(endpoint: "eice-1", dnsName: "eice-1.example.com")
        let home = try TemporaryDirectory()
        try home.makeDirectory(".aws")
        try home.write(
            ".aws/config",
            """
            [profile role]
            role_arn = arn:aws:iam::123456789012:role/admin
            source_profile = base
            external_id = x
            [profile web]
            role_arn = arn:aws:iam::123456789012:role/web
            web_identity_token_file = \(try home.write("jwt", "token"))
            [profile base]
            aws_access_key_id = AKIATEST
            aws_secret_access_key = s
            """)
        let context = context(moto, ["HOME": home.path])
        for profile in ["role", "web"] {
            let credentials = try await context.credentials.credentials(profile: profile)
            #expect(credentials.accessKeyID.hasPrefix("ASIA"))
            #expect(credentials.sessionToken != nil)
            #expect((credentials.expiration ?? WallTime.now()) > WallTime.now().advanced(by: 600))
        }
    }
}
