import Failures
import Logging
import Synchronization
import TestSupport
import Testing

@testable import AWS

/// Plants secrets in every source and looks for them in everything that leaves the module.
@Suite struct SecretsTests {
    private final class Journal: Sendable {
        let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var text: String { lines.withLock { $0.joined(separator: "\n") } }
    }

    private struct Recorder: LogHandler {
        let journal: Journal
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            journal.add("\(event.level) \(event.message) \(event.metadata ?? [:])")
        }
    }

    private static let planted = "PLANTEDSECRET"

    private func prepare(_ house: Household) throws -> [(String?, [String: String])] {
        let end = house.services.now.advanced(by: 60)
        let path = try house.home.write("jwt", Self.planted)
        let script = try house.home.write(
            "helper.sh", "echo '{\"Version\":1,\"AccessKeyId\":\"AKIAHELPER\",\"SecretAccessKey\":\"\(Self.planted)\"}'"
        )
        let noisy = try house.home.write("noisy.sh", "echo \(Self.planted); exit 0")
        try house.config(
            """
            [profile keys]
            aws_access_key_id = AKIAKEYS
            aws_secret_access_key = \(Self.planted)
            aws_session_token = \(Self.planted)
            [profile role]
            role_arn = arn:aws:iam::1:role/r
            source_profile = keys
            [profile web]
            role_arn = arn:aws:iam::1:role/r
            web_identity_token_file = \(path)
            [profile sso]
            sso_session = corp
            sso_account_id = 1
            sso_role_name = r
            [sso-session corp]
            sso_region = eu-west-1
            sso_start_url = https://corp
            [profile process]
            credential_process = /bin/sh \(script)
            [profile noisy]
            credential_process = /bin/sh \(noisy)
            """)
        try house.token(
            "corp",
            #""accessToken":"\#(Self.planted)","expiresAt":"\#(end)","clientId":"c","clientSecret":"\#(Self.planted)","refreshToken":"\#(Self.planted)","registrationExpiresAt":"2099-01-01T00:00:00Z""#
        )
        let keys = [
            "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": Self.planted, "AWS_SESSION_TOKEN": Self.planted,
        ]
        let container = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(house.services.stub.url)/container",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": Self.planted,
        ]
        let profiles: [(String?, [String: String])] = ["keys", "role", "web", "sso", "process", "noisy"].map {
            ($0, [:])
        }
        return profiles + [(nil, keys), (nil, container)]
    }

    @Test(arguments: [IdentityServices.Mode.works, .broken]) func noneOfThemIsEverShown(mode: IdentityServices.Mode)
        async throws
    {
        let house = try Household()
        let cases = try prepare(house)
        house.services.set(mode)
        let journal = Journal()
        for (profile, variables) in cases {
            let environment = house.variables(
                variables.merging(["HTTPS_PROXY": "http://ann:\(Self.planted)@127.0.0.1:1"]) { $1 })
            let services = house.services
            let context = AWSContext(
                environment: environment, clock: SigningClock { services.now },
                logger: Logger(label: "test") { _ in Recorder(journal: journal) })
            do {
                let credentials = try await context.credentials.credentials(profile: profile)
                journal.add("\(credentials) \(String(reflecting: credentials))")
            } catch {
                journal.add("\(error) \(String(reflecting: error))")
            }
            let ec2 = EC2(context: context, profile: profile, region: "eu-west-1")
            let failure = await #expect(throws: Failure.self) {
                try await ec2.describeInstances(purpose: "look up i-1")
            }
            journal.add(failure.map { "\($0)" } ?? "")
        }
        #expect(journal.text.contains("AKIA") || mode == .broken)
        #expect(journal.lines.withLock(\.count) >= cases.count * 2)
        #expect(!journal.text.contains(Self.planted))
    }
}
