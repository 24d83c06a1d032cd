import Failures
import OpenSSL
import SocketIO
import TestSupport
import Testing
import WebSocket

import class EICEEmulator.Emulator

@testable import EICEEmulator

@Suite struct FaultTests {
    /// What a client makes of an emulator with one fault: the furthest it comes, in words.
    private func outcome(of fault: Fault, target port: UInt16 = 1) async throws -> String {
        let echo = try LoopbackServer.echo()
        defer { echo.stop() }
        return try await withEmulator(target: echo.port) {
            $0.faults = [fault]
        } _: { emulator in
            do {
                let client = try TunnelClient(emulator)
                try client.handshake()
                let answer = try client.upgrade(TunnelClient.target(emulator))
                guard answer.status == 101 else { return "\(answer.status) \(answer.body)" }
                if let after = fault.after {
                    try client.send([UInt8](repeating: 7, count: after + 100))
                    _ = try client.receive(after)
                }
                switch try client.next() {
                case .close(let frame): return "close \(frame.code.map(\.description) ?? "none") \(frame.reason)"
                case let event?: return "\(event)"
                case nil: return "the end of TLS"
                }
            } catch let error as TLSError {
                return "TLS: \(error)"
            } catch let error as SystemError {
                return "socket: \(error.reason)"
            }
        }
    }

    private func outcome(of kind: Fault.Kind) async throws -> String { try await outcome(of: Fault(kind)) }

    @Test(arguments: [
        (Fault.Kind.reset, "socket: connection reset by peer"),
        (.closeTCP, "TLS: the connection ended during the TLS handshake"),
        (.certificateExpired, "TLS: the certificate has expired"),
        (.certificateNotYetValid, "TLS: the certificate is not valid yet"),
        (.certificateWrongName, "TLS: the certificate is for another name"),
    ])
    func beforeTLSIsDone(kind: Fault.Kind, expected: String) async throws {
        // The client names the certificate's time and its own clock behind it.
        #expect(try await outcome(of: kind).hasPrefix(expected))
    }

    @Test func garbageAndImpostorsAreNoTLS() async throws {
        #expect(try await outcome(of: .garbage).hasPrefix("TLS: "))
        #expect(try await outcome(of: .certificateUntrusted).hasPrefix("TLS: the certificate is not"))
    }

    @Test func insteadOfAnAnswer() async throws {
        var refuse = Fault(.refuse)
        refuse.status = 500
        refuse.body = "broken"
        #expect(try await outcome(of: refuse) == "500 broken")
        #expect(try await outcome(of: .refuse).hasPrefix("503 {"))
        #expect(try await outcome(of: .noUpgrade).hasPrefix("200 "))
    }

    @Test(arguments: [Fault.Kind.closeBeforeResponse, .halfResponse, .garbageResponse])
    func answersThatAreNone(kind: Fault.Kind) async throws {
        let error = await #expect(throws: TestFailure.self) { try await self.outcome(of: kind) }
        #expect(error?.description.contains("the answer ended") == true)
    }

    @Test(arguments: [
        (Fault.Kind.text, "data"), (.masked, "violation(WebSocket.ProtocolViolation.masked"),
        (.reservedBits, "violation"), (.reservedOpcode, "violation"), (.badLength, "violation"),
        (.longControl, "violation"), (.strayContinuation, "violation"), (.badCloseCode, "violation"),
        (.badCloseUTF8, "violation"), (.ping, "ping([112, 105, 110, 103])"), (.tlsEnd, "the end of TLS"),
        (.drop, "TLS: the connection ended"),
        (.resetOpen, "socket: connection reset by peer"),
        (.garbageRecord, "TLS: "), (.close, "close 1011 "),
    ])
    func inTheOpenTunnel(kind: Fault.Kind, expected: String) async throws {
        let outcome = try await outcome(of: kind)
        #expect(outcome.hasPrefix(expected.prefix { $0 != "(" }), "\(outcome)")
    }

    @Test func aCloseHasTheCodeAndReasonThatAreAskedFor() async throws {
        var fault = Fault(.close)
        fault.code = 3_001
        fault.reason = "because"
        #expect(try await outcome(of: fault) == "close 3001 because")
    }

    @Test func aFaultCanWaitForSoManyBytes() async throws {
        var fault = Fault(.drop)
        fault.after = 100_000
        #expect(try await outcome(of: fault).hasPrefix("TLS: the connection ended"))
        var raw = Fault(.raw)
        raw.after = 10
        raw.bytes = "8a00"
        // An unasked pong, then the data goes on.
        #expect(try await outcome(of: raw).hasPrefix("data"))
    }

    @Test func stallsHoldTheConnectionUntilTheClientLeaves() async throws {
        let echo = try LoopbackServer.echo()
        try await runEmulator(target: echo.port) {
            $0.faults = [Fault.Kind.stallTLS, .stallUpgrade, .silent].map { Fault($0) }
        } _: { emulator in
            let tls = try await onThread {
                let socket = try LoopbackSocket.connect(port: emulator.tunnelPort)
                try socket.write([22, 3, 1, 0, 100])
                return socket
            }
            try await eventually("the first connection is stalled") { emulator.state.faults.count == 2 }
            let upgrade = try await onThread {
                let client = try TunnelClient(emulator)
                try client.handshake()
                let request = try UpgradeRequest(
                    host: TunnelClient.hostName, pathAndQuery: TunnelClient.target(emulator),
                    key: SecureRandom.bytes(16), userAgent: "test")
                try client.write(request.bytes)
                return client.socket
            }
            try await eventually("the request was read") { emulator.state.faults.count == 1 }
            // The next one is served: it is open, and silent.
            let silent = try await onThread {
                let client = try TunnelClient.open(emulator)
                try client.send([1, 2, 3])
                return client.socket
            }
            #expect(emulator.state.statistics.tunnelsOpen == 1)
            for socket in [tls, upgrade, silent] { socket.close() }
            try await eventually("all are gone") { emulator.state.statistics.connectionsOpen == 0 }
            #expect(emulator.state.statistics.tunnelsOpen == 0)
        }
        echo.stop()
    }

    @Test func faultsAreUsedUpInTheirOrder() {
        var list = FaultList()
        var twice = Fault(.refuse)
        twice.times = 2
        var elsewhere = Fault(.badAccept)
        elsewhere.endpoint = "eice-2"
        var always = Fault(.stallUpgrade)
        always.times = 0
        for fault in [elsewhere, twice, always] { list.add(fault) }
        #expect(
            (0..<4).map { _ in list.take(.upgrade, endpoint: "eice-1")?.kind } == [
                .refuse, .refuse, .stallUpgrade, .stallUpgrade,
            ])
        #expect(list.take(.upgrade, endpoint: "eice-2")?.kind == .badAccept)
        #expect(list.take(.open, endpoint: "eice-1") == nil)
        list.clear()
        #expect(list.take(.upgrade, endpoint: "eice-1") == nil)
    }

    @Test func faultsAreReadFromTheCommandLine() throws {
        #expect(try Fault(parsing: "refuse").times == 1)
        #expect(try Fault(parsing: "drop:3").times == 3)
        #expect(try Fault(parsing: #"{"kind":"close","code":1001,"reason":"x","after":5}"#).after == 5)
        for text in [
            "nothing", "drop:x", "drop:1:2", "raw", #"{"kind":"raw","bytes":"8"}"#, #"{"kind":"drop","x":1}"#, "{",
        ] {
            #expect(throws: Failure.self, "\(text)") { try Fault(parsing: text) }
        }
    }
}

@Suite struct DocumentationTests {
    @Test func theManualNamesEveryFaultAndEveryKeyOfTheInventory() throws {
        let manual = try Repository.text("docs/emulator.md")
        for kind in Fault.Kind.allCases { #expect(manual.contains("`\(kind.rawValue)`"), "\(kind.rawValue)") }
        let keys =
            Inventory.CodingKeys.allCases.map(\.rawValue) + Endpoint.CodingKeys.allCases.map(\.rawValue)
            + Instance.CodingKeys.allCases.map(\.rawValue) + Fault.CodingKeys.allCases.map(\.rawValue)
        for key in keys where key != "kind" {
            let isNamed = ["`\(key)`", "`.\(key)`", "`\(key)[].", "].\(key)`"].contains { manual.contains($0) }
            #expect(isNamed, "\(key)")
        }
    }
}
