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
            case .broken: .init(400, #"{"message":"broken","code":"Broken"}"#)
            case .works: Self.answer(request, "ASIA\(count)", now.advanced(by: 3_600))
            }
        }
    }

    var now: WallTime { shared.state.withLock { $0.now } }
    func advance(_ seconds: Int64) { shared.state.withLock { $0.now = $0.now.advanced(by: seconds) } }
    func set(_ mode: Mode) { shared.state.withLock { $0.mode = mode } }

    private static func answer(_ request: HTTPStub.Request, _ keyID: String, _ end: WallTime) -> HTTPStub.Answer {
        switch request.target.prefix(while: { $0 != "?" }) {
        case "/":
            return .init(
                200,
                "<R><Credentials><AccessKeyId>\(keyID)</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>\(end)</Expiration></Credentials></R>"
            )
        case "/federation/credentials":
            let text =
                #"{"roleCredentials":{"accessKeyId":"\#(keyID)","secretAccessKey":"s","sessionToken":"t","expiration":\#(end.secondsSinceEpoch)000}}"#
            return .init(200, text)
        case "/token":
            return .init(200, #"{"accessToken":"fresh","expiresIn":28800,"refreshToken":"next","tokenType":"Bearer"}"#)
        case "/latest/api/token": return .init(request.method == "PUT" ? 200 : 405, "v2")
        case "/latest/meta-data/iam/security-credentials/": return .init(200, "web-role")
        case "/latest/meta-data/placement/region": return .init(200, "eu-south-2")
        default:
            return .init(
                200,
                #"{"Version":1,"Code":"Success","AccessKeyId":"\#(keyID)","SecretAccessKey":"s","Token":"t","Expiration":"\#(end)"}"#
            )
        }
    }
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
    enum Source: String, CaseIterable, Sendable {
        case role, webIdentity, sso, legacySSO, process, container, metadata
    }

    /// Asks the stub as curl would, which need not be installed.
    private static let script = """
        exec 3<>/dev/tcp/127.0.0.1/$1
        printf 'GET /process HTTP/1.1\\r\\n\\r\\n' >&3
        read -r _ status _ <&3
        while read -r name value <&3 && [ "$name" != $'\\r' ]; do
          if [ "$name" = Content-Length: ]; then length=${value%$'\\r'}; fi
        done
        [ "$status" = 200 ] || { echo "the service said $status" >&2; exit 3; }
        read -r -N "$length" body <&3
        printf %s "$body"
        """

    /// Writes what the source needs and returns the variables for it.
    private func prepare(_ source: Source, _ house: Household) throws -> [String: String] {
        let end = house.services.now.advanced(by: 1_000_000)
        switch source {
        case .role:
            try house.config(
                "[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nregion = eu-west-1\n[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = s"
            )
        case .webIdentity:
            let path = try house.home.write("jwt", "ey.token\n")
            try house.config("[profile p]\nrole_arn = arn:aws:iam::1:role/r\nweb_identity_token_file = \(path)")
        case .sso:
            try house.config(
                "[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp"
            )
            try house.token("corp", #""accessToken":"old","expiresAt":"\#(end)","startUrl":"https://corp""#)
        case .legacySSO:
            try house.config(
                "[profile p]\nsso_account_id = 1\nsso_role_name = r\nsso_region = eu-west-1\nsso_start_url = https://corp"
            )
            try house.token("https://corp", #""accessToken":"old","expiresAt":"\#(end)""#)
        case .process:
            let script = try house.home.write("process.sh", Self.script)
            try house.config("[profile p]\ncredential_process = /bin/bash \(script) \(house.services.stub.port)")
        case .container:
            try house.config("[profile p]")
            return ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/container"]
        case .metadata:
            try house.config("[profile p]")
            return [
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": house.services.stub.url, "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_METADATA_SERVICE_TIMEOUT": "60",
            ]
        }
        return [:]
    }

    @Test(arguments: Source.allCases) func eachSourceWorksAndIsRenewed(_ source: Source) async throws {
        let house = try Household()
        let chain = house.chain(try prepare(source, house))
        let first = try await chain.credentials(profile: "p")
        #expect(first.accessKeyID.hasPrefix("ASIA"))
        #expect(first.expiration == house.services.now.advanced(by: 3_600))
        #expect(try await chain.credentials(profile: "p") == first)
        // The laptop slept beyond the end.
        house.services.advance(7_200)
        let second = try await chain.credentials(profile: "p")
        #expect(second.accessKeyID != first.accessKeyID)
        #expect(second.expiration == house.services.now.advanced(by: 3_600))
    }

    @Test(arguments: Source.allCases) func eachBrokenSourceIsNamed(_ source: Source) async throws {
        let house = try Household()
        let variables = try prepare(source, house)
        house.services.set(.broken)
        let failure = try await house.failure("p", variables)
        #expect([77, 78].contains(failure.kind.exitCode), "\(failure)")
        #expect(!failure.sentence.isEmpty)
        // Another profile of the same daemon is unharmed.
        try house.home.write(".aws/credentials", "[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = s")
        #expect(try await house.chain(variables).credentials(profile: "other").accessKeyID == "AKIAOTHER")
    }

    @Test(arguments: Source.allCases) func aHangingSourceCostsNobodyElsesTime(_ source: Source) async throws {
        let house = try Household()
        let variables = try prepare(source, house)
        try house.home.write(".aws/credentials", "[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = s")
        house.services.set(.hangs)
        let chain = house.chain(variables)
        let hanging = Task { try await chain.credentials(profile: "p") }
        try await eventually("the source is asked") { !house.services.stub.requests.isEmpty }
        #expect(try await chain.credentials(profile: "other").accessKeyID == "AKIAOTHER")
        hanging.cancel()
        let failure = await #expect(throws: Failure.self) { try await hanging.value }
        #expect(failure?.kind == .deadline)
        // The next one who asks is not stuck behind it.
        house.services.set(.works)
        #expect(try await chain.credentials(profile: "p").accessKeyID.hasPrefix("ASIA"))
    }

    // MARK: - Order

    @Test func sourcesAreAskedInTheAWSCLIsOrder() {
        #expect(
            CredentialChain.standardSources.map(\.name) == [
                "environment", "assumed role", "web identity", "IAM Identity Center", "shared credentials file",
                "aws login",
                "credential_process", "config file", "container", "instance metadata",
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
