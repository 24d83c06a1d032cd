import Failures
import Logging
import Synchronization
import TestSupport
import Testing

@testable import AWS

@Suite struct NeedsLoginTests {
    private final class Log: Sendable {
        let entries = Mutex<[String]>([])
        func add(_ entry: String) { entries.withLock { $0.append(entry) } }
        var all: [String] { entries.withLock { $0 } }
    }

    private func chain(_ house: Household, _ log: Log) -> CredentialChain {
        let environment = house.variables()
        return CredentialChain(
            environment: environment, files: SharedConfigFiles(environment: environment), http: HTTPClient(),
            clock: SigningClock { house.services.now }, loginCheckInterval: .milliseconds(5),
            onLoginChange: { profile, failure in
                log.add("\(profile ?? "-") \(failure?.hint ?? "ready")")
            }, logger: Logger(label: "test"))
    }

    @Test func connectionsWaitForTheLoginAndGoOnWhenItIsThere() async throws {
        let house = try Household()
        try house.config(SSOTests.config)
        let log = Log()
        let chain = chain(house, log)
        let told = Log()
        let waiting = (0..<5).map { _ in
            Task {
                try await chain.credentialsAfterLogin(profile: "p") { failure in
                    #expect(failure.kind == .needsLogin)
                    told.add("told")
                }
            }
        }
        try await eventually("all wait") { told.all.count == 5 }
        #expect(await chain.neededLogin(profile: "p")?.hint == "aws sso login --profile p")
        // A log-in that is half-written is no log-in.
        try house.token("corp", #""accessToken":"be"#)
        try house.token("corp", #""accessToken":"bearer","expiresAt":"\#(house.services.now.advanced(by: 3_600))""#)
        for task in waiting { #expect(try await task.value.accessKeyID.hasPrefix("ASIA")) }
        #expect(await chain.neededLogin(profile: "p") == nil)
        #expect(told.all.count == 5)
        #expect(log.all == ["p aws sso login --profile p", "p ready"])
    }

    @Test func oneWhoStopsWaitingIsToldWhatToRun() async throws {
        let house = try Household()
        try house.config(SSOTests.config)
        let chain = chain(house, Log())
        let told = Log()
        let task = Task {
            try await chain.credentialsAfterLogin(profile: "p") { _ in told.add("told") }
        }
        try await eventually("it waits") { !told.all.isEmpty }
        task.cancel()
        let failure = await #expect(throws: Failure.self) { try await task.value }
        #expect(failure?.kind == .needsLogin)
    }

    @Test func otherFailuresAreNotWaitedFor() async throws {
        let house = try Household()
        let chain = chain(house, Log())
        let failure = await #expect(throws: Failure.self) { try await chain.credentialsAfterLogin(profile: "none") }
        #expect(failure?.kind == .unknownProfile)
    }

    @Test func keysThatAWSCallsExpiredNeedAPersonUntilTheyChange() async throws {
        let house = try Household()
        try house.home.write(
            ".aws/credentials", "[p]\naws_access_key_id = OLD\naws_secret_access_key = s\naws_session_token = t")
        let log = Log()
        let chain = chain(house, log)
        let old = try await chain.credentials(profile: "p")
        let failure = await #expect(throws: Failure.self) {
            try await chain.replace(old, profile: "p", why: "ExpiredToken (HTTP 400)")
        }
        #expect(failure?.kind == .expiredCredentials)
        #expect(failure?.why == "ExpiredToken (HTTP 400)")
        #expect(failure?.hint?.contains(house.home(".aws/credentials")) == true)
        #expect(await chain.neededLogin(profile: "p") != nil)
        try house.home.write(
            ".aws/credentials", "[p]\naws_access_key_id = NEWER\naws_secret_access_key = s\naws_session_token = t")
        #expect(try await chain.replace(old, profile: "p").accessKeyID == "NEWER")
        #expect(await chain.neededLogin(profile: "p") == nil)
    }

    @Test func refusedKeysAreTriedAgainAfterAMinuteAndThoseWithoutATokenAtOnce() async throws {
        let house = try Household()
        let path = ".aws/credentials"
        try house.home.write(path, "[p]\naws_access_key_id = K\naws_secret_access_key = s\naws_session_token = t")
        let chain = chain(house, Log())
        let keys = try await chain.credentials(profile: "p")
        _ = await #expect(throws: Failure.self) { try await chain.replace(keys, profile: "p") }
        house.services.advance(59)
        _ = await #expect(throws: Failure.self) { try await chain.credentials(profile: "p") }
        house.services.advance(1)
        #expect(try await chain.credentials(profile: "p") == keys)
        #expect(await chain.neededLogin(profile: "p") == nil)

        try house.home.write(path, "[p]\naws_access_key_id = K\naws_secret_access_key = s")
        let lasting = try await chain.credentials(profile: "p")
        let failure = await #expect(throws: Failure.self) { try await chain.replace(lasting, profile: "p") }
        #expect(failure?.kind == .expiredCredentials)
        #expect(try await chain.credentials(profile: "p") == lasting)
    }
}
