import OpenSSL
import Synchronization
import TestSupport
import Testing

/// Endpoints whose TLS is bad in one way each: the daemon refuses every one, says which it was, and within ten seconds.
@Suite struct BadServerTests {
    private struct Row {
        let name: String
        let milliseconds: Int64
        let code: Int32?
        let said: String
    }

    /// With the limits that a daemon has where nobody sets any.
    @Test func aServerThatSaysNothingIsGivenUpWithinTenSeconds() async throws {
        let certificates = try BadCertificates()
        let server = try LoopbackServer.silent()
        let roots = try TemporaryDirectory("silent")
        let file = try roots.write("ca.pem", certificates.root.certificate)
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(
                environment: RogueEndpoint.environment(roots: file, port: server.port), configuration: "")
            let start = ContinuousClock.now
            let result = try await daemon.proxy()
            #expect(start.duration(to: .now) < .seconds(10) * Patience.factor)
            #expect(result.code == 75 && result.errors.contains("the TLS handshake for"), "\(result)")
        }
    }

    @Test func everyBadServerIsRefusedWithItsOwnReason() async throws {
        let certificates = try BadCertificates()
        let cases =
            try certificates.times() + certificates.trust() + certificates.names() + certificates.rights()
            + certificates.strength() + certificates.protocols() + BadBytes.all
        #expect(cases.count >= 44)
        #expect(Set(cases.map(\.name)).count == cases.count)

        let turn = Turn()
        let server = try LoopbackServer { socket in
            do {
                try turn.serve(socket)
            } catch let failure as TestFailure {
                turn.complaints.withLock { $0.append("\(failure)") }
            }
        }
        let folder = try TemporaryDirectory("bad")
        let roots = try folder.write("ca.pem", certificates.root.certificate)
        let environment = RogueEndpoint.environment(roots: roots, port: server.port)
        var rows: [Row] = []
        try await Scene.onStage {
            let daemon = try await EicedDaemon.start(
                environment: environment, configuration: Scene.table(of: ["tls": "5s"]))
            for example in cases {
                turn.current.withLock { $0 = example }
                let start = ContinuousClock.now
                let result = try await daemon.proxy()
                let length = start.duration(to: .now)
                #expect(length < .seconds(10) * Patience.factor, "\(example.name) took \(length)")
                #expect([75, 76].contains(result.code), "\(example.name): \(result)")
                #expect(result.errors.contains(example.reason), "\(example.name): \(result.errors)")
                let things = [RogueEndpoint.name, RogueEndpoint.id, RogueEndpoint.address]
                #expect(things.contains { result.errors.contains($0) }, "\(example.name): \(result.errors)")
                let said = result.errors.split(separator: "\n").first.map(String.init) ?? ""
                rows.append(
                    Row(
                        name: example.name, milliseconds: Int64(length / .milliseconds(1)), code: result.code,
                        said: said))
            }
            // And a good one is taken: what was refused was refused for its fault.
            let good = try CertificateIssuer.issue(
                .server(commonName: "server", names: [.dns(RogueEndpoint.name)], now: certificates.now),
                by: certificates.root)
            let context = try TLSContext(certificateChain: good.certificate, privateKey: good.privateKey)
            let wasTaken = Mutex(false)
            turn.current.withLock {
                $0 = BadServer(name: "good", reason: "") { socket in
                    _ = try TLSPeer(socket, context).readRequest()
                    wasTaken.withLock { $0 = true }
                }
            }
            _ = try await daemon.proxy()
            #expect(wasTaken.withLock { $0 }, "the good server was refused: \(daemon.log.suffix(600))")
        }
        #expect(
            turn.complaints.withLock { $0 }.filter { !$0.contains("has gone") && !$0.contains("nothing came") } == [])
        let width = rows.map(\.name.count).max() ?? 0
        let lines = rows.map { row in
            "  \(row.name)\(String(repeating: " ", count: width - row.name.count))  \(row.milliseconds) ms  \(row.said)"
        }
        print("bad TLS servers refused: \(rows.count)\n\(lines.joined(separator: "\n"))")
        tell(figure: "bad_servers_refused", rows.count)
    }

    /// What the server does with the next connection.
    private final class Turn: Sendable {
        let current = Mutex<BadServer?>(nil)
        let complaints = Mutex<[String]>([])

        func serve(_ socket: LoopbackSocket) throws { try current.withLock { $0 }?.serve(socket) }
    }
}
