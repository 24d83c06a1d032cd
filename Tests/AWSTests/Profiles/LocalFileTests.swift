import Failures
import Glibc
import TestSupport
import Testing

@testable import AWS

@Suite struct LocalFileTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    @Test("a file is read up to its limit, and one byte more is refused by name")
    func limit() async throws {
        // More than one read of 16 KiB.
        let path = try folder.write("f", [UInt8](repeating: 7, count: 40_000))
        #expect(try await LocalFile.read(path, limit: 40_000)?.count == 40_000)
        let failure = await #expect(throws: Failure.self) { try await LocalFile.read(path, limit: 39_999) }
        #expect(failure?.kind == .configuration && failure?.why == "it is larger than 39999 bytes")
    }

    @Test("a missing file, one below a file, and a folder are no file")
    func nothing() async throws {
        try folder.write("f", "")
        for path in [folder("none"), folder("f/x"), folder.path] {
            #expect(try await LocalFile.read(path, limit: 10) == nil, "\(path)")
        }
        #expect(try await LocalFile.read(folder("f"), limit: 10) == [])
    }

    @Test("a file that cannot be read is named with the reason")
    func unreadable() async throws {
        #expect(symlink(folder("loop"), folder("loop")) == 0)
        let failure = await #expect(throws: Failure.self) { try await LocalFile.read(folder("loop"), limit: 10) }
        #expect(failure?.what == "cannot read \(folder("loop"))" && failure?.why.isEmpty == false)
    }

    @Test("a file is replaced as a whole, readable by its owner alone, and nothing is left beside it")
    func write() async throws {
        let path = try folder.write("f", "old", mode: 0o644)
        try await LocalFile.write(path, Array("new".utf8))
        #expect(contents(of: path) == "new")
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(try names() == ["f"])
    }

    @Test("a file that cannot be replaced is named and leaves nothing beside it")
    func unwritable() async throws {
        try folder.makeDirectory("d")
        for path in [folder("d"), folder("none/f")] {
            let failure = await #expect(throws: Failure.self) { try await LocalFile.write(path, [1]) }
            #expect(failure?.kind == .stateNotSaved && failure?.what == "cannot write \(path)")
        }
        #expect(try names() == ["d"])
    }

    private func names() throws -> [String] {
        let stream = try #require(opendir(folder.path))
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}

@Suite struct LoginWatchTests {
    private let home: TemporaryDirectory
    private let watch: LoginWatch

    init() throws {
        home = try TemporaryDirectory()
        for folder in [".aws", ".aws/sso", ".aws/sso/cache", ".aws/cli", ".aws/cli/cache"] {
            try home.makeDirectory(folder)
        }
        let environment = Environment(["HOME": home.path])
        watch = LoginWatch(
            environment: environment, files: SharedConfigFiles(environment: environment), interval: .milliseconds(1))
    }

    @Test(
        "each place where a log-in can appear is watched",
        arguments: [".aws/config", ".aws/credentials", ".aws/sso/cache/a.json", ".aws/cli/cache/b.json"])
    func places(name: String) async throws {
        let empty = try await watch.snapshot()
        #expect(try await watch.snapshot() == empty)
        try home.write(name, "one")
        let first = try await watch.snapshot()
        #expect(first != empty)
        try home.write(name, "three")
        #expect(try await watch.snapshot() != first)
        unlink(home(name))
        #expect(try await watch.snapshot() == empty)
    }

    @Test("a file that is replaced by another of the same size is a change")
    func sameSize() async throws {
        try home.write(".aws/config", "one")
        let first = try await watch.snapshot()
        try home.write(".aws/other", "two")
        #expect(rename(home(".aws/other"), home(".aws/config")) == 0)
        #expect(try await watch.snapshot() != first)
    }

    @Test("a file in a cache that is no JSON is nothing to wait for")
    func otherFiles() async throws {
        let empty = try await watch.snapshot()
        try home.write(".aws/sso/cache/a.tmp", "one")
        #expect(try await watch.snapshot() == empty)
    }

    @Test("a wait ends with the change, or with its task")
    func waiting() async throws {
        let before = try await watch.snapshot()
        let waiting = Task { [watch] in try await watch.change(since: before) }
        let leaving = Task { [watch] in try await watch.change(since: before) }
        leaving.cancel()
        #expect(await #expect(throws: Failure.self) { try await leaving.value }?.kind == .deadline)
        try home.write(".aws/config", "one")
        try await waiting.value
    }
}
