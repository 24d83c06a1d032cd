import Glibc
import TestSupport
import Testing

/// The test kit itself, without the programs under test: what fails here makes every other failure meaningless.
@Suite struct FixtureTests {
    @Test func childGivesItsOutputAndItsCode() async throws {
        let child = try ChildProcess(
            "/bin/sh", ["-c", "cat; echo out $VALUE; echo err >&2; exit 3"], environment: ["VALUE": "7"],
            input: .pipe)
        if let input = child.input {
            #expect(write(input.raw, "in\n", 3) == 3)
            input.close()
        }
        #expect(try await child.exit() == .code(3))
        #expect(child.standardOutput == "in\nout 7\n")
        #expect(child.standardError == "err\n")
    }

    @Test func childThatWritesMoreThanAPipeHoldsIsNotHeldUp() async throws {
        let child = try ChildProcess("/usr/bin/head", ["-c", "3000000", "/dev/zero"])
        #expect(try await child.exit() == .code(0))
        #expect(child.standardOutputBytes.count == 3_000_000)
    }

    @Test func childThatIsForgottenIsKilled() async throws {
        var child: ChildProcess? = try ChildProcess("/bin/sleep", ["1000"], diesWithParent: true)
        let pid = try #require(child?.pid)
        #expect(kill(pid, 0) == 0)
        child = nil
        try await eventually("the child is gone") { kill(pid, 0) != 0 }
    }

    @Test func aLimitEndsTheWaitForAChild() async throws {
        let child = try ChildProcess("/bin/sleep", ["1000"])
        await #expect(throws: TestFailure.self) { try await child.exit(within: .milliseconds(1)) }
        child.signal(SIGTERM)
        #expect(try await child.exit() == .signal(SIGTERM))
    }

    @Test func childThatCannotStartIsAnError() {
        #expect(throws: (any Error).self) { try ChildProcess("/nonexistent") }
    }

    @Test func patternShowsALostByte() async throws {
        let pattern = Pattern(seed: 7)
        let whole = try LoopbackServer.source(of: pattern, count: 3_000_000)
        let wrong = try LoopbackServer { connection in
            try connection.write(pattern.bytes(0..<1000) + pattern.bytes(1001..<2000))
        }
        let count = try await onThread { try pattern.verify(from: LoopbackSocket.connect(port: whole.port)) }
        #expect(count == 3_000_000)
        await #expect(throws: TestFailure.self) {
            try await onThread { _ = try pattern.verify(from: LoopbackSocket.connect(port: wrong.port)) }
        }
    }

    @Test(arguments: LoopbackSocket.Family.allCases) func echoServerAnswersAndStops(family: LoopbackSocket.Family)
        async throws
    {
        let server = try LoopbackServer.echo(family: family)
        let answer = try await onThread {
            let client = try LoopbackSocket.connect(port: server.port, family: family)
            try client.write("ping")
            client.shutdownWrite()
            return try client.readToEnd()
        }
        #expect(answer == Array("ping".utf8))
        try await eventually("the connection is over") { server.openCount == 0 }
        #expect(server.acceptedCount == 1)
        server.stop()
        let port = server.port
        try await eventually("nobody listens") { (try? LoopbackSocket.connect(port: port, family: family)) == nil }
    }

    @Test func privateSSHServerLetsItsKeyInAndNoOther() async throws {
        let server = try await SSHServer.start()
        let options = try server.clientOptions()
        let login = try ChildProcess(
            "/usr/bin/ssh", options + ["-p", "\(server.port)", "127.0.0.1", "echo", "hello"],
            environment: ["PATH": "/usr/bin:/bin"])
        #expect(try await login.exit() == .code(0), "\(login.standardError) \(server.log)")
        #expect(login.standardOutput == "hello\n")

        let stranger = try ChildProcess(
            "/usr/bin/ssh",
            options.map { $0 == server.identity ? "/nonexistent" : $0 } + [
                "-p", "\(server.port)", "127.0.0.1", "true",
            ],
            environment: ["PATH": "/usr/bin:/bin"])
        #expect(try await stranger.exit() == .code(255))
    }

    @Test func factsOfThisProcessAreThere() throws {
        let facts = ProcessFacts(of: getpid())
        #expect(try #require(facts.descriptorCount) > 2)
        #expect(try #require(facts.threadCount) > 0)
        #expect(try #require(facts.residentSetSize) > 1000)
        #expect(try #require(facts.proportionalSetSize) > 1000)
        #expect(facts.processorTime != nil)
    }
}
