import ControlCodec
import ControlProtocol
import ControlServer
import Failures
import Glibc
import Logging
import SocketIO
import TestSupport
import Testing

/// The built program as a person at a shell sees it: the command, what it prints where, and its exit code.
@Suite struct TranscriptTests {
    struct Transcript: Equatable {
        var out: String
        var err: String
        var code: Int32

        init(out: String = "", err: String = "", code: Int32 = 0) {
            self.out = out
            self.err = err
            self.code = code
        }
    }

    let daemon: CannedDaemon

    init() async throws { daemon = try await CannedDaemon() }

    func eicectl(
        _ words: String..., socket: String? = nil, environment: [String: String] = [:]
    ) async throws -> Transcript {
        let all = environment.merging(["EICED_SOCKET": socket ?? daemon.path]) { given, _ in given }
        let child = try ChildProcess(BuiltProducts.eicectl, words, environment: all)
        guard case .code(let code) = try await child.exit() else { throw TestFailure("killed by a signal") }
        return Transcript(out: child.standardOutput, err: child.standardError, code: code)
    }

    @Test func addPrintsWhereItListens() async throws {
        #expect(
            try await eicectl("add", "i-1", "22:2222")
                == Transcript(out: "i-1-22: listening on 127.0.0.1:2222 and [::1]:2222 for i-1 port 22\n"))
    }

    @Test func jsonIsAllThatStdoutHas() async throws {
        let transcript = try await eicectl("add", "i-1", "22:2222", "--json")
        #expect(transcript.err == "" && transcript.code == 0)
        let result = try ControlWire.decode(ForwardListResult.self, from: transcript.out.utf8)
        #expect(result.forwards.map(\.name) == ["i-1-22"])
    }

    @Test func addressThatOthersCanReachIsSaidOnStderr() async throws {
        let transcript = try await eicectl("add", "i-1", "22:2222", "--bind", "0.0.0.0", "--allow-remote")
        #expect(transcript.err == "eicectl: warning: other hosts can reach i-1-22, and through it i-1\n")
        #expect(transcript.code == 0)
    }

    @Test func whatTheDaemonRefusesKeepsItsWordsAndItsCode() async throws {
        #expect(
            try await eicectl("rm", "web")
                == Transcript(
                    err: """
                        eicectl: error: there is no forward named web
                        eicectl: hint: eicectl ls shows those there are

                        """, code: 68))
        #expect(
            try await eicectl("proxy", "i-1", "22", "--stdio")
                == Transcript(
                    err: """
                        eicectl: error: cannot reach i-1: Unable to connect to target
                        eicectl: hint: look at its security groups

                        """, code: 68))
    }

    @Test func missingDaemonSaysHowToStartIt() async throws {
        let path = daemon.folder("nobody.sock")
        let expected = Transcript(
            err: """
                eicectl: error: cannot reach eiced at \(path): no such file
                eicectl: hint: systemctl --user start eiced

                """, code: 69)
        #expect(try await eicectl("ls", socket: path) == expected)
        #expect(try await eicectl("proxy", "i-1", socket: path) == expected)
    }

    @Test func versionIsAnAnswerEvenWithoutADaemon() async throws {
        let current = EICEDVersion.current
        #expect(try await eicectl("version") == Transcript(out: "eicectl \(current)\neiced \(current)\n"))
        #expect(
            try await eicectl("version", socket: daemon.folder("nobody.sock"))
                == Transcript(out: "eicectl \(current)\neiced does not answer: no such file\n"))
    }

    @Test func whatCannotBeUnderstoodNamesTheHelp() async throws {
        #expect(
            try await eicectl("add", "i-1")
                == Transcript(
                    err: """
                        eicectl: error: Missing expected argument '<remote[:local]> ...'
                        eicectl: hint: eicectl help add

                        """, code: 64))
        #expect(try await eicectl("add", "i-1", "22:nowhere").code == 64)
        #expect(try await eicectl("proxy").code == 64)
        #expect(try await eicectl("proxy", "--help").code == 0)
    }

    @Test func idleDaemonIsShownWithoutColours() async throws {
        #expect(
            try await eicectl("ls")
                == Transcript(out: "no forwards: eicectl add TARGET REMOTE[:LOCAL] makes one\n"))
        #expect(try await eicectl("reload") == Transcript(out: "nothing changed\n"))
        #expect(try await eicectl("shutdown", "--drain", "30s") == Transcript(out: "eiced ends\n"))
    }

    @Test func shellsAccountTravelsWithoutItsSecret() async throws {
        let transcript = try await eicectl(
            "add", "i-1", "22", "--json",
            environment: [
                "AWS_PROFILE": "p", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "planted",
            ])
        let result = try ControlWire.decode(ForwardListResult.self, from: transcript.out.utf8)
        // The canned daemon shows what it was told in the forward's profile and region.
        #expect(result.forwards.first?.profile == "p")
        #expect(result.forwards.first?.region == "AKIDEXAMPLE")
    }
}

/// A control server that always says the same.
final class CannedDaemon: RequestHandler, Sendable {
    let folder: TemporaryDirectory
    let path: String
    private let loop: Loop
    /// Kept here, touched on the loop alone.
    nonisolated(unsafe) private var server: ControlServer?

    init() async throws {
        folder = try TemporaryDirectory()
        path = folder("control.sock")
        loop = try Loop(label: "canned")
        nonisolated(unsafe) let listener = try ControlListener.binding(path)
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            loop.submit { loop in
                continuation.resume(
                    with: Result {
                        var log = Logger(label: "canned")
                        log.logLevel = .critical
                        self.server = try ControlServer(listener, handler: self, log: log, on: loop)
                    })
            }
        }
    }

    func handle(_ request: ControlRequest, peer: PeerCredentials, reply: PendingReply, on loop: isolated Loop) {
        switch request {
        case .forwardAdd(let parameters):
            let forwards = parameters.mappings.map { mapping in
                ForwardInfo(
                    name: "\(parameters.target)-\(mapping.remotePort)", target: parameters.target,
                    remotePort: mapping.remotePort, addresses: ["127.0.0.1:2222", "[::1]:2222"],
                    profile: parameters.options.environment?.profile,
                    region: parameters.options.environment?.accessKeyID, maxDuration: 3600,
                    remoteAllowed: parameters.allowRemote)
            }
            reply(.success(.forwards(.init(forwards: forwards))), on: loop)
        case .forwardRemove(let parameters):
            let failure = Failure(
                .unknownForward, "there is no forward named \(parameters.names.joined())",
                hint: "eicectl ls shows those there are")
            reply(.failure(failure), on: loop)
        case .forwardList: reply(.success(.forwards(.init(forwards: []))), on: loop)
        case .reload: reply(.success(.reload(ReloadResult())), on: loop)
        case .shutdown(let parameters):
            reply(.success(.shutdown(ShutdownResult(tunnels: 0, drain: parameters.drain ?? 0))), on: loop)
        default: reply(.failure(Failure(.internal, "not in this play")), on: loop)
        }
    }

    func connect(
        _ parameters: ConnectParameters, peer: PeerCredentials, client: ConnectClient, on loop: isolated Loop
    ) -> any ConnectAttempt {
        let failure = Failure(
            .targetUnreachable, "cannot reach \(parameters.target)", why: "Unable to connect to target",
            hint: "look at its security groups")
        client.fail(failure, on: loop)
        return NoAttempt()
    }

    private final class NoAttempt: ConnectAttempt {
        func cancel(on loop: isolated Loop) {}
    }
}
