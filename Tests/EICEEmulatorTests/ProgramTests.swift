import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import EICEEmulator

/// The built program, from its first line to its exit.
@Suite struct ProgramTests {
    private static func start(_ arguments: [String], in directory: TemporaryDirectory) throws -> ChildProcess {
        try ChildProcess(
            BuiltProducts.emulator, arguments, environment: ["PATH": "/usr/bin:/bin", "TMPDIR": directory.path],
            diesWithParent: true)
    }

    private func run(_ arguments: [String]) async throws -> (exit: ChildProcess.Exit, process: ChildProcess) {
        let directory = try TemporaryDirectory("emulator")
        let process = try Self.start(arguments, in: directory)
        return (try await process.exit(), process)
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func itServesUntilItIsToldToStopAndLeavesNothing(signal: CInt) async throws {
        let directory = try TemporaryDirectory("emulator")
        let file = "\(directory.path)/environment"
        let process = try Self.start(
            ["--target", "10.0.1.5:22=127.0.0.1:9", "--env-file", file, "--exit-with-parent"], in: directory)
        try await eventually("it is ready") {
            process.standardOutput.contains("EICED_CONNECT_TO=") || process.exit != nil
        }
        #expect(process.exit == nil, "\(process.standardError)")
        #expect(String(decoding: try PrivateFile.read(file), as: UTF8.self) == process.standardOutput)
        var facts = stat()
        #expect(stat(file, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
        process.signal(signal)
        #expect(try await process.exit() == .code(0))
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        #expect(left == ["environment"])
    }

    @Test func jsonForMachines() async throws {
        let directory = try TemporaryDirectory("emulator")
        let process = try Self.start(
            ["--print-json", "--session-token", "--max-connections", "3", "--directory", "\(directory.path)/ca"],
            in: directory)
        try await eventually("it is ready") { process.standardOutput.hasSuffix("}\n") }
        let facts = try JSONDecoder().decode(
            EmulatorEnvironment.Facts.self, from: Data(process.standardOutput.utf8))
        #expect(facts.authorityFile == "\(directory.path)/ca/ca.pem")
        #expect(facts.endpoints.map(\.maxConnections) == [3])
        #expect(facts.environment["AWS_SESSION_TOKEN"] != nil)
        #expect(facts.environment["EICED_CONNECT_TO"] == "127.0.0.1:\(facts.tunnelPort)")
        process.signal(SIGTERM)
        #expect(try await process.exit() == .code(0))
    }

    @Test func aThousandTunnelsLeaveNoDescriptorBehind() async throws {
        let echo = try LoopbackServer.echo()
        let directory = try TemporaryDirectory("emulator")
        let process = try Self.start(
            ["--print-json", "--target", "10.0.1.5:22=127.0.0.1:\(echo.port)", "--access-key-id", "AKIATEST"],
            in: directory)
        try await eventually("it is ready") { process.standardOutput.hasSuffix("}\n") }
        let facts = try JSONDecoder().decode(
            EmulatorEnvironment.Facts.self, from: Data(process.standardOutput.utf8))
        let churn = Churn(facts)
        try await onThread { try churn.run(20) }
        let before = try #require(process.facts.descriptorCount)
        try await onThread { try churn.run(1_000) }
        try await eventually("descriptors are back where they were") {
            (process.facts.descriptorCount ?? .max) <= before
        }
        process.signal(SIGTERM)
        #expect(try await process.exit() == .code(0))
        echo.stop()
    }

    @Test func mistakesOfTheCommandLineAreUsageErrors() async throws {
        for arguments in [
            ["--target", "10.0.1.5"], ["--instance", "web"], ["--latency", "soon"], ["--fault", "none"],
            ["--max-connections", "-1"], ["--page-size=0"], ["--nonsense"],
        ] {
            let (exit, process) = try await run(arguments)
            #expect(exit == .code(64), "\(arguments) \(process.standardError)")
            #expect(process.standardOutput.isEmpty)
        }
    }

    @Test func otherMistakesHaveTheirOwnExitCodes() async throws {
        let directory = try TemporaryDirectory("emulator")
        let broken = try directory.write("broken.json", "{\"endpoint\": []}")
        let (exit, process) = try await run(["--inventory", broken])
        #expect(exit == .code(78))
        #expect(process.standardError.contains("\"endpoint\" is unknown"))
        #expect(process.standardError.contains("eice-emulator: hint: "))
        let missing = try await run(["--inventory", "\(directory.path)/missing.json"])
        #expect(missing.exit == .code(78))

        let taken = try LoopbackServer.silent()
        let busy = try await run(["--port", "\(taken.port)"])
        #expect(busy.exit == .code(73))
        #expect(busy.process.standardError.contains("address already in use"))
        taken.stop()
    }

    @Test func theListsAreForReading() async throws {
        let example = try await run(["--example-inventory"])
        _ = try Inventory.parse(Array(example.process.standardOutput.utf8), name: "example")
        let faults = try await run(["--list-faults"])
        #expect(faults.process.standardOutput.split(separator: "\n").count == Fault.Kind.allCases.count)
    }
}

/// Opens and closes tunnels in every way that a client can.
private struct Churn: Sendable {
    let facts: EmulatorEnvironment.Facts

    init(_ facts: EmulatorEnvironment.Facts) { self.facts = facts }

    func run(_ count: Int) throws {
        let place = TunnelClient.Place(facts)
        for number in 0..<count {
            let client = try TunnelClient(place)
            switch number % 4 {
            case 0: client.socket.reset()
            case 1:
                try client.handshake()
                client.socket.close()
            case 2:
                try client.dial(place)
                client.socket.reset()
            default:
                try client.dial(place)
                try client.send([1])
                _ = try client.receive(1)
                try client.close()
                _ = try client.receiveToClose()
            }
        }
    }
}
