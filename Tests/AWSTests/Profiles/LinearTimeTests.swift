import Failures
import Glibc
import TestSupport
import Testing

@testable import AWS

/// What users' files have takes time in proportion to its length.
@Suite struct LinearTimeTests {
    private func config(_ text: [UInt8]) throws -> SharedConfig {
        SharedConfig(
            config: try ProfileFile(parsing: text), configPath: "/config", credentials: try ProfileFile(parsing: text),
            credentialsPath: "/credentials")
    }

    struct Shape: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let size: Int
        let text: @Sendable (Int) -> String

        init(_ name: String, _ size: Int, _ text: @escaping @Sendable (Int) -> String) {
            (testDescription, self.size, self.text) = (name, size, text)
        }
    }

    static let shapes = [
        Shape("profiles", 500) { (0..<$0).map { "[profile p\($0)]\nregion = r\n" }.joined() },
        Shape("sessions", 500) { (0..<$0).map { "[sso-session s\($0)]\nsso_region = r\n" }.joined() },
        Shape("services", 500) { (0..<$0).map { "[services s\($0)]\nec2 =\n  endpoint_url = u\n" }.joined() },
        Shape("keys of one profile", 1_000) { "[default]\n" + (0..<$0).map { "k\($0) = v\n" }.joined() },
        Shape("lines of one value", 1_000) { "[default]\nk = v\n" + String(repeating: "  more\n", count: $0) },
        Shape("blank lines in one value", 2_000) { "[default]\nk = v\n" + String(repeating: "\n", count: $0) },
        Shape("nested settings", 1_000) { "[default]\nk =\n" + (0..<$0).map { "  k\($0) = v\n" }.joined() },
        Shape("one long value", 20_000) { "[default]\nk = " + String(repeating: "v", count: $0) },
        Shape("one long section name", 20_000) { "[profile \"" + String(repeating: "p ", count: $0) + "\"]\nk = v" },
        Shape("blanks around a value", 20_000) { "[default]\nk = v" + String(repeating: " ", count: $0) },
        Shape("mistakes", 1_000) { (0..<$0).map { "[profile p\($0)]\nrubbish\n" }.joined() },
        Shape("the same mistake", 1_000) { "[default]\n" + String(repeating: "k = v\n", count: $0) },
        Shape("sections given twice", 1_000) { String(repeating: "[default]\nk = v\n", count: $0) },
    ]

    @Test("a file of profiles is read in time in proportion to its size", arguments: shapes)
    func profiles(_ shape: Shape) throws {
        let factor = try growth(
            shape.size, prepare: { Array(shape.text($0).utf8) }, work: { _ = try config($0) })
        #expect(factor < linearGrowth, "\(shape.testDescription)")
    }

    @Test(
        "a credential_process is split into words in time in proportion to its length",
        arguments: ["x", "x ", "\\ ", "'a b' ", "\"a\\\"\" "])
    func words(_ piece: String) throws {
        let factor = growth(
            20_000, prepare: { String(repeating: piece, count: $0) }, work: { _ = ShellWords.split($0) })
        #expect(factor < linearGrowth)
    }

    @Test(
        "variables in a path are replaced in time in proportion to its length",
        arguments: ["$A/", "${A}", "${", "$", "${A"])
    func variables(_ piece: String) {
        let environment = Environment(["A": "a", "HOME": "/home"])
        let factor = growth(
            5_000, prepare: { String(repeating: piece, count: $0) }, work: { _ = environment.expand(path: $0) })
        #expect(factor < linearGrowth)
    }

    @Test("a brace that is not closed stays as it is")
    func openBraces() {
        let environment = Environment(["A": "a"])
        #expect(environment.expand(path: "${A}/${A/$A") == "a/${A/a")
        #expect(environment.expand(path: "${A/${A") == "${A/${A")
    }

    @Test("messages about thousands of profiles name five of them")
    func messages() throws {
        let config = try config(Array(Self.shapes[0].text(9_000).utf8))
        let failure = #expect(throws: Failure.self) { try config.profile("targte") }
        #expect(failure?.hint?.hasSuffix(" and 17995 more") == true, "\(failure?.hint ?? "")")
        let broken = try self.config(Array(Self.shapes[10].text(9_000).utf8))
        let other = #expect(throws: Failure.self) { try broken.profile("targte") }
        #expect((other?.description.utf8.count ?? 0) < 2_000)
    }
}

/// Files that do not answer.
@Suite struct HangingLocalFileTests {
    @Test("a pipe is read once a program has written to it, and one that is silent is named")
    func pipes() async throws {
        let folder = try TemporaryDirectory()
        let path = folder("pipe")
        try #require(mkfifo(path, 0o600) == 0)
        let silent = await #expect(throws: Failure.self) { _ = try await LocalFile.read(path, limit: 1_000) }
        #expect(silent?.kind == .deadline && silent?.what == "cannot read \(path)")
        // Opening for writing waits for the reader.
        let writing = Task {
            try await onThread {
                let writer = open(path, O_WRONLY | O_CLOEXEC)
                _ = write(writer, "secret", 6)
                close(writer)
            }
        }
        // On a busy machine the writer may come too late for one read.
        let bytes = try await eventually("the pipe is read") { try? await LocalFile.read(path, limit: 1_000) }
        #expect(bytes == Array("secret".utf8))
        try await writing.value
    }

    @Test("a file that is too large is refused, and one that is missing is nothing")
    func limits() async throws {
        let folder = try TemporaryDirectory()
        let path = try folder.write("large", String(repeating: "x", count: 3 << 20))
        let failure = await #expect(throws: Failure.self) { _ = try await LocalFile.read(path, limit: 2 << 20) }
        #expect(failure?.why == "it is larger than 2 MiB")
        #expect(try await LocalFile.read(folder("none"), limit: 1) == nil)
        #expect(try await LocalFile.read(folder.path, limit: 1) == nil)
    }
}
