import AWS
import Failures
import Glibc
import Logging
import OpenSSL
import TestSupport
import Testing

@testable import Daemon

@Suite struct TrustStoreTests {
    private func authority(_ name: String) throws -> String {
        try CertificateIssuer.issue(.authority(commonName: name, now: 1_700_000_000)).certificate
    }

    @Test func aFileIsReadOnceAndAnewWhenItHasChanged() async throws {
        let folder = try TemporaryDirectory()
        let store = TrustStore()
        let path = try folder.write("a.pem", try authority("one"))
        let first = try await store.context(trusting: path)
        #expect(try await store.context(trusting: path) === first)
        let other = try folder.write("b.pem", try authority("two"))
        #expect(try await store.context(trusting: other) !== first)
        try folder.write("a.pem", try authority("another one, with a longer name"))
        let second = try await store.context(trusting: path)
        #expect(second !== first)
        #expect(try await store.context(trusting: path) === second)
    }

    @Test func theSystemsAreSharedByAllWhoNameNoFile() async throws {
        let store = TrustStore()
        #expect(try await store.context(trusting: nil) === (try await store.context(trusting: nil)))
    }

    @Test func aFileThatCannotBeUsedIsNamedAndDoesNoHarmToOthers() async throws {
        let folder = try TemporaryDirectory()
        let store = TrustStore()
        let good = try folder.write("good.pem", try authority("one"))
        let bad = try folder.write("bad.pem", "rubbish")
        for path in [bad, folder("missing.pem")] {
            let failure = await #expect(throws: Failure.self) { try await store.context(trusting: path) }
            #expect(failure?.kind == .configuration)
            #expect(failure?.what.contains(path) == true, "\(String(describing: failure))")
        }
        await #expect(throws: Never.self) { try await store.context(trusting: good) }
        try folder.write("bad.pem", try authority("two"))
        await #expect(throws: Never.self) { try await store.context(trusting: bad) }
    }

    @Test func theFileOfTheEnvironmentIsLookedIntoAtTheStart() async throws {
        let folder = try TemporaryDirectory()
        func check(_ path: String) async throws {
            let context = AWSContext(environment: Environment(["AWS_CA_BUNDLE": path]), logger: Logger(label: "test"))
            try await TrustStore.check(context, Logger(label: "test"))
        }
        let good = try folder.write("good.pem", "words before it\n" + (try authority("one")))
        await #expect(throws: Never.self) { try await check(good) }
        let bad = try folder.write("bad.pem", "rubbish")
        let loop = folder("loop.pem")
        #expect(symlink(loop, loop) == 0)
        for (path, why) in [
            (bad, "there is no certificate in it"), (folder("missing.pem"), "there is no such file"),
            (folder(""), "it is a folder"), (loop, "Too many levels of symbolic links"),
        ] {
            let failure = await #expect(throws: Failure.self) { try await check(path) }
            #expect(failure?.kind == .configuration && failure?.why == why && failure?.hint != nil, "\(path)")
            #expect(failure?.what.contains(path) == true, "\(path)")
        }
    }

    /// What only OpenSSL can find costs the connections that need it.
    @Test func whatOnlyLooksLikeACertificateIsFoundWhenItIsUsed() async throws {
        let folder = try TemporaryDirectory()
        let path = try folder.write(
            "broken.pem", "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
        let context = AWSContext(environment: Environment(["AWS_CA_BUNDLE": path]), logger: Logger(label: "test"))
        await #expect(throws: Never.self) { try await TrustStore.check(context, Logger(label: "test")) }
        let failure = await #expect(throws: Failure.self) { try await TrustStore().context(trusting: path) }
        #expect(failure?.kind == .configuration && failure?.what.contains(path) == true)
        #expect(failure?.hint?.contains("AWS_CA_BUNDLE") == true)
    }
}
