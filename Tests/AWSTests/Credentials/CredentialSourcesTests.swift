import Basics
import Failures
import Logging
import OpenSSL
import Synchronization
import TestSupport
import Testing

@testable import AWS

/// Every service that sources of credentials ask, on one loopback port, in a mode that the test sets.
final class IdentityServices: Sendable {
    enum Mode: Sendable { case works, broken, hangs }

    private struct State {
        var mode = Mode.works
        var count = 0
        var now = WallTime(secondsSinceEpoch: 1_700_000_000)
    }

    private final class Shared: Sendable {
        let state = Mutex(State())
    }

    let stub: HTTPStub
    private let shared = Shared()

    init() throws {
        stub = try HTTPStub { [shared] request in
            let (mode, count, now) = shared.state.withLock { state in
                state.count += 1
                return (state.mode, state.count, state.now)
            }
            return switch mode {
            case .hangs: .silence
            case .broken: .error(400, repeating: request)
            case .works:
                IdentityAnswers(
                    accessKeyID: "ASIA\(count)", secretAccessKey: "s", sessionToken: "t",
                    end: ("\(now.advanced(by: 3_600))", now.advanced(by: 3_600).secondsSinceEpoch)
                ).answer(request)
            }
        }
    }

    var now: WallTime { shared.state.withLock { $0.now } }
    func advance(_ seconds: Int64) { shared.state.withLock { $0.now = $0.now.advanced(by: seconds) } }
    func set(_ mode: Mode) { shared.state.withLock { $0.mode = mode } }
}

/// A person's home folder with profiles, and a chain over it.
struct Household {
    let home: TemporaryDirectory
    let services: IdentityServices

    init() throws {
        home = try TemporaryDirectory()
        services = try IdentityServices()
        for folder in [".aws", ".aws/sso", ".aws/sso/cache", ".aws/cli", ".aws/cli/cache"] {
            try home.makeDirectory(folder)
        }
    }

    func variables(_ more: [String: String] = [:]) -> Environment {
        var values = ["HOME": home.path, "PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true"]
        for service in ["STS", "SSO", "SSO_OIDC"] { values["AWS_ENDPOINT_URL_\(service)"] = services.stub.url }
        return Environment(values.merging(more) { $1 })
    }

    func chain(
        _ more: [String: String] = [:], sources: [any CredentialSource] = CredentialChain.standardSources
    ) -> CredentialChain {
        let environment = variables(more)
        let services = services
        return CredentialChain(
            environment: environment, files: SharedConfigFiles(environment: environment), http: HTTPClient(),
            clock: SigningClock { services.now }, sources: sources, logger: Logger(label: "test"))
    }

    func config(_ text: String) throws { try home.write(".aws/config", text) }

    func failure(_ profile: String?, _ more: [String: String] = [:]) async throws -> Failure {
        let chain = chain(more)
        return try #require(await #expect(throws: Failure.self) { try await chain.credentials(profile: profile) })
    }

    func token(_ name: String, _ fields: String) throws {
        try home.write(".aws/sso/cache/\(Digest.hexadecimal(Digest.sha1(name.utf8))).json", "{\(fields)}")
    }
}

@Suite struct CredentialSourcesTests {
    @Test func sourcesAreAskedInTheAWSCLIsOrder() {
        #expect(
            CredentialChain.standardSources.map(\.name) == [
                "environment", "assumed role", "web identity", "IAM Identity Center", "shared credentials file",
                "aws login",
                "credential_process", "config file", "legacy file", "container", "instance metadata",
            ])
    }

    @Test func anUnansweredChainSaysWhatItAskedAndWhy() async throws {
        let house = try Household()
        let failure = try await house.failure(nil)
        #expect(failure.kind == .noCredentials)
        #expect(failure.why.contains("credential_process"))
        #expect(failure.why.contains("AWS_EC2_METADATA_DISABLED"))
    }

    @Test func theInstancesRegionIsTheLastResort() async throws {
        let house = try Household()
        let more = ["AWS_EC2_METADATA_SERVICE_ENDPOINT": house.services.stub.url, "AWS_EC2_METADATA_DISABLED": "false"]
        let context = AWSContext(environment: house.variables(more), logger: Logger(label: "test"))
        #expect(try await context.region(named: nil, profile: nil) == "eu-south-2")
        #expect(try await context.region(named: "us-east-1", profile: nil) == "us-east-1")
        try house.config("[default]\nregion = ap-east-1")
        #expect(try await context.region(named: nil, profile: nil) == "ap-east-1")
    }
}
