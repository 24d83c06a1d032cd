import Basics
import Failures
import Logging
import Synchronization
import TestSupport
import Testing

@testable import AWS

/// A source of the test's own.
private struct StubSource: CredentialSource {
    let name = "stub"
    let answer: @Sendable (SourceContext) async throws(Failure) -> Credentials?
    func credentials(in context: SourceContext) async throws(Failure) -> Credentials? { try await answer(context) }
}

private final class Clock: Sendable {
    private let seconds: Atomic<Int64>
    init(_ seconds: Int64 = 1_000_000) { self.seconds = Atomic(seconds) }
    func advance(_ by: Int64) { seconds.add(by, ordering: .relaxed) }
    var now: WallTime { WallTime(secondsSinceEpoch: seconds.load(ordering: .relaxed)) }
}

@Suite struct CredentialChainTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    private func environment(_ variables: [String: String] = [:]) -> Environment {
        let files = ["AWS_CONFIG_FILE": folder("config"), "AWS_SHARED_CREDENTIALS_FILE": folder("credentials")]
        return Environment(files.merging(variables) { $1 })
    }

    private func chain(
        _ variables: [String: String] = [:], clock: Clock = Clock(), sources: [any CredentialSource]? = nil
    ) -> CredentialChain {
        let environment = environment(variables)
        let files = SharedConfigFiles(environment: environment)
        return CredentialChain(
            environment: environment, files: files, http: HTTPClient(), clock: SigningClock { clock.now },
            sources: sources ?? CredentialChain.standardSources, logger: Logger(label: "test"))
    }

    private func failure(_ chain: CredentialChain, _ profile: String?) async throws -> Failure {
        try #require(await #expect(throws: Failure.self) { try await chain.credentials(profile: profile) })
    }

    static let keys = ["AWS_ACCESS_KEY_ID": "AKIAENVENVENVENV", "AWS_SECRET_ACCESS_KEY": "envsecret"]

    @Test func environmentKeysWinUnlessAProfileIsNamed() async throws {
        try folder.write(
            "credentials",
            "[default]\naws_access_key_id=FILE\naws_secret_access_key=S\n[dev]\naws_access_key_id=DEV\naws_secret_access_key=S"
        )
        let chain = chain(Self.keys.merging(["AWS_PROFILE": "dev", "AWS_SESSION_TOKEN": "token"]) { $1 })
        let own = try await chain.credentials(profile: nil)
        #expect(own.accessKeyID == "AKIAENVENVENVENV")
        #expect(own.sessionToken == "token")
        #expect(try await chain.credentials(profile: "dev").accessKeyID == "DEV")
        #expect(try await chain.credentials(profile: "default").accessKeyID == "FILE")
    }

    @Test func theVariableNamesTheProfileWhereNothingElseDoes() async throws {
        try folder.write("credentials", "[dev]\naws_access_key_id=DEV\naws_secret_access_key=S\naws_session_token=T")
        let credentials = try await chain(["AWS_PROFILE": "dev"]).credentials(profile: nil)
        #expect(credentials.accessKeyID == "DEV")
        #expect(credentials.sessionToken == "T")
    }

    @Test func theCredentialsFileWinsOverTheConfigFile() async throws {
        try folder.write("config", "[profile dev]\naws_access_key_id=CONFIG\naws_secret_access_key=C")
        let chain = chain()
        #expect(try await chain.credentials(profile: "dev").accessKeyID == "CONFIG")
        try folder.write("credentials", "[dev]\naws_access_key_id=KEY\naws_secret_access_key=K")
        let credentials = try await chain.credentials(profile: "dev")
        #expect(credentials.accessKeyID == "KEY")
        #expect(credentials.origin.contains(folder("credentials")))
    }

    @Test func errorsNameWhatIsWrongAndWhatToDo() async throws {
        let nothing = try await failure(chain(), nil)
        #expect(nothing.kind == .noCredentials)
        #expect(nothing.hint != nil)
        let unknown = try await failure(chain(), "prod")
        #expect(unknown.kind == .unknownProfile)
        #expect(unknown.why.contains(folder("config")))
        let unknownByVariable = try await failure(chain(["AWS_PROFILE": "prod"]), nil)
        #expect(unknownByVariable.kind == .unknownProfile)
        #expect(try await failure(chain(["AWS_ACCESS_KEY_ID": "A"]), nil).kind == .noCredentials)
        try folder.write(
            "credentials", "[half]\naws_access_key_id=A\n[rest]\naws_access_key_id=\naws_secret_access_key=S")
        let half = try await failure(chain(), "half")
        #expect(half.kind == .noCredentials)
        #expect(half.sentence.contains("\(folder("credentials")):2"))
        #expect(try await failure(chain(), "rest").sentence.contains(":4"))
        try folder.write("credentials", "[a]\n[a]")
        let malformed = try await failure(chain(), "a")
        #expect(malformed.kind == .malformedFile)
        #expect(malformed.what == "\(folder("credentials")):2")
    }

    @Test func anUnreadableFileIsNamed() async throws {
        try folder.makeDirectory("config")
        #expect(try await failure(chain(), nil).kind == .noCredentials)
        let looped = chain(["AWS_CONFIG_FILE": "/dev/zero"])
        #expect(try await failure(looped, nil).kind == .configuration)
    }

    @Test func expiredEnvironmentCredentialsSaySo() async throws {
        let chain = chain(Self.keys.merging(["AWS_CREDENTIAL_EXPIRATION": "1970-01-02T00:00:00Z"]) { $1 })
        let failure = try await failure(chain, nil)
        #expect(failure.kind == .expiredCredentials)
        #expect(failure.hint != nil)
    }

    @Test func allWhoAskAtOnceAreOneCall() async throws {
        let calls = Atomic(0)
        let gate = AsyncStream<Void>.makeStream()
        let chain = chain(sources: [
            StubSource { _ in
                calls.add(1, ordering: .relaxed)
                for await _ in gate.stream { break }
                return Credentials(accessKeyID: "ASIA", secretAccessKey: "s")
            }
        ])
        async let first = chain.credentials(profile: nil)
        async let second = chain.credentials(profile: nil)
        try await eventually("the source is asked") { calls.load(ordering: .relaxed) == 1 }
        gate.continuation.yield()
        #expect(try await first == second)
        #expect(try await chain.credentials(profile: nil).accessKeyID == "ASIA")
        #expect(calls.load(ordering: .relaxed) == 1)
    }

    @Test func oneWhoLeavesDoesNotDisturbTheOthers() async throws {
        let gate = AsyncStream<Void>.makeStream()
        let calls = Atomic(0)
        let chain = chain(sources: [
            StubSource { _ in
                calls.add(1, ordering: .relaxed)
                for await _ in gate.stream { break }
                return Task.isCancelled ? nil : Credentials(accessKeyID: "ASIA", secretAccessKey: "s")
            }
        ])
        let stays = Task { try await chain.credentials(profile: nil) }
        try await eventually("the source is asked") { calls.load(ordering: .relaxed) == 1 }
        let leaves = Task { try await chain.credentials(profile: nil) }
        leaves.cancel()
        let failure = await #expect(throws: Failure.self) { try await leaves.value }
        #expect(failure?.kind == .deadline)
        gate.continuation.yield()
        #expect(try await stays.value.accessKeyID == "ASIA")
    }

    @Test func credentialsAreRenewedAheadOfTheirEnd() async throws {
        let clock = Clock()
        let calls = Atomic(0)
        let chain = chain(
            clock: clock,
            sources: [
                StubSource { _ in
                    let number = calls.add(1, ordering: .relaxed).newValue
                    return Credentials(
                        accessKeyID: "ASIA\(number)", secretAccessKey: "s", expiration: clock.now.advanced(by: 3_600))
                }
            ])
        #expect(try await chain.credentials(profile: nil).accessKeyID == "ASIA1")
        clock.advance(2_900)
        #expect(try await chain.credentials(profile: nil).accessKeyID == "ASIA1")
        clock.advance(150)
        // Due: still handed out, renewed in the background.
        #expect(try await chain.credentials(profile: nil).accessKeyID == "ASIA1")
        try await eventually("the renewal is there") {
            try await chain.credentials(profile: nil).accessKeyID == "ASIA2"
        }
        // Asleep past the end: never handed out again.
        clock.advance(10_000)
        #expect(try await chain.credentials(profile: nil).accessKeyID == "ASIA3")
    }

    @Test func aFailedRenewalServesWhatIsStillValidAndNothingElse() async throws {
        let clock = Clock()
        let isBroken = Atomic(false)
        let chain = chain(
            clock: clock,
            sources: [
                StubSource { _ throws(Failure) in
                    if isBroken.load(ordering: .relaxed) { throw Failure(.helperFailed, "broken") }
                    return Credentials(
                        accessKeyID: "ASIA", secretAccessKey: "s", expiration: clock.now.advanced(by: 3_600))
                }
            ])
        _ = try await chain.credentials(profile: nil)
        isBroken.store(true, ordering: .relaxed)
        clock.advance(3_590)
        #expect(try await chain.credentials(profile: nil).accessKeyID == "ASIA")
        clock.advance(10)
        #expect(try await failure(chain, nil).kind == .helperFailed)
    }

    @Test func shortLivesDoNotRenewAllTheTime() {
        let credentials = Credentials(
            accessKeyID: "A", secretAccessKey: "s", expiration: WallTime(secondsSinceEpoch: 900))
        func state(_ seconds: Int64) -> CredentialChain.Freshness {
            CredentialChain.state(
                of: credentials, obtained: WallTime(secondsSinceEpoch: 0), at: WallTime(secondsSinceEpoch: seconds))
        }
        #expect(state(600) == .fresh)
        #expect(state(700) == .due)
        #expect(state(850) == .late)
        #expect(state(900) == .expired)
    }

    @Test func descriptionsShowNoSecret() {
        let credentials = Credentials(
            accessKeyID: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "SECRETSECRET", sessionToken: "TOKENTOKEN")
        var dumped = ""
        dump(credentials, to: &dumped)
        dump([credentials], to: &dumped)
        let request = HTTPRequest(url: "http://h/", headers: [("Authorization", "SECRETSECRET")], purpose: "test")
        for text in [
            "\(credentials)", String(reflecting: credentials), dumped, "\(Optional(credentials) as Any)", "\(request)",
        ] {
            #expect(!text.contains("SECRET"))
            #expect(!text.contains("TOKENTOKEN"))
            #expect(!text.contains("IOSFODNN7"))
        }
        #expect("\(credentials)".contains("AKIA…MPLE"))
    }
}
