import Glibc
import OpenSSL
import TestSupport
import Testing
import WebSocket

import class EICEEmulator.Emulator

@testable import EICEEmulator

@Suite struct RefusalTests {
    private func answer(_ emulator: Emulator, _ target: String, host: String = TunnelClient.hostName) throws
        -> TunnelClient.Answer
    {
        let client = try TunnelClient(emulator)
        try client.handshake()
        return try client.upgrade(target, host: host)
    }

    @Test func wrongSignaturesAreForbidden() async throws {
        try await withEmulator { emulator in
            let wrong = try answer(emulator, TunnelClient.target(emulator, secret: "another"))
            #expect(wrong.status == 403)
            #expect(wrong.body.contains(#""ErrorCode":"InvalidSignatureException""#))
            #expect(wrong.head.contains("x-amzn-RequestId: "))
            #expect(wrong.head.contains("Date: "))
            let old = try answer(emulator, TunnelClient.target(emulator, at: Int64(time(nil)) - 61))
            #expect(old.status == 403 && old.body.contains("Signature expired"))
            let early = try answer(emulator, TunnelClient.target(emulator, at: Int64(time(nil)) + 400))
            #expect(early.status == 403 && early.body.contains("Signature not yet current"))
            let token = try answer(
                emulator, TunnelClient.target(emulator) { $0.append(("X-Amz-Security-Token", "unexpected")) })
            #expect(token.status == 403 && token.body.contains("UnrecognizedClientException"))
            let unsigned = try answer(emulator, "/openTunnel?remotePort=22")
            #expect(unsigned.status == 403 && unsigned.body.contains("MissingAuthenticationTokenException"))
            #expect(try answer(emulator, "/other").status == 404)
        }
    }

    @Test func temporaryCredentialsNeedTheirToken() async throws {
        let echo = try LoopbackServer.echo()
        try await withEmulator(target: echo.port) {
            $0.usesSessionToken = true
        } _: { emulator in
            let with = try answer(emulator, TunnelClient.target(emulator))
            #expect(with.status == 101)
            let without = TunnelClient.target(emulator) { $0.removeAll { $0.0 == "X-Amz-Security-Token" } }
            #expect(try answer(emulator, without).status == 403)
        }
        echo.stop()
    }

    @Test func thePortIsRefusedInTheServicesOwnWords() async throws {
        let refused = try await withEmulator { try answer($0, TunnelClient.target($0, port: "80")) }
        #expect(refused.status == 400)
        #expect(
            refused.body
                == #"{"ErrorCode":"InvalidParameter","Message":"The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request."}"#
        )
    }

    @Test func wrongParametersAreRefused() async throws {
        try await withEmulator { emulator in
            for target in [
                TunnelClient.target(emulator, endpoint: "eice-0000000000000000f"),
                TunnelClient.target(emulator, address: "web-1"), TunnelClient.target(emulator, duration: "0"),
                TunnelClient.target(emulator, duration: "3601"), TunnelClient.target(emulator, duration: "1h"),
                TunnelClient.target(emulator, port: "65558"),
            ] {
                let refused = try answer(emulator, target)
                #expect(refused.status == 400 && refused.body.contains("InvalidParameter"), "\(target) \(refused)")
            }
            let host = "another.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"
            #expect(try answer(emulator, TunnelClient.target(emulator, host: host), host: host).status == 400)
        }
    }

    @Test func thePolicyLimitsTheDuration() async throws {
        try await withEmulator {
            $0.inventory.endpoints[0].policyMaxDuration = 600
        } _: { emulator in
            let refused = try answer(emulator, TunnelClient.target(emulator, duration: "601"))
            #expect(refused.status == 403)
            #expect(
                refused.body
                    == #"{"ErrorCode":"AccessDeniedException","Message":"User: arn:aws:iam::123456789012:user/emulator is not authorized to perform: ec2-instance-connect:OpenTunnel on resource: arn:aws:ec2:eu-west-1:123456789012:instance-connect-endpoint/eice-0123456789abcdef0"}"#
            )
            #expect(try answer(emulator, TunnelClient.target(emulator, duration: nil)).status == 403)
            #expect(try answer(emulator, TunnelClient.target(emulator, duration: "600")).status == 101)
        }
    }

    @Test func anEndpointThatIsNotUsableTakesNoTunnels() async throws {
        let refused = try await withEmulator {
            $0.inventory.endpoints[0].state = "delete-in-progress"
        } _: {
            try answer($0, TunnelClient.target($0))
        }
        #expect(refused.status == 400)
    }

    @Test func aPlainRequestIsToldToUpgrade() async throws {
        try await withEmulator { emulator in
            let client = try TunnelClient(emulator)
            try client.handshake()
            try client.write(
                Array("GET \(TunnelClient.target(emulator)) HTTP/1.1\r\nHost: \(TunnelClient.hostName)\r\n\r\n".utf8))
            #expect(String(decoding: try client.read(), as: UTF8.self).hasPrefix("HTTP/1.1 426 "))
            let rubbish = try TunnelClient(emulator)
            try rubbish.handshake()
            try rubbish.write(Array("SSH-2.0-test\r\n\r\n".utf8))
            #expect(String(decoding: try rubbish.read(), as: UTF8.self).hasPrefix("HTTP/1.1 400 "))
        }
    }

    @Test func theTwentyFirstIsRefusedAndASlotComesBack() async throws {
        let silent = try LoopbackServer.silent()
        try await withEmulator(target: silent.port) { emulator in
            var open = try (0..<20).map { _ in try TunnelClient.open(emulator) }
            let refused = try answer(emulator, TunnelClient.target(emulator))
            #expect(refused.status == 429)
            #expect(refused.body.contains("ServiceQuotaExceededException"))
            // Two ways to leave: the close handshake, and being gone.
            try open[0].close()
            _ = try open[0].receiveToClose()
            #expect(try answer(emulator, TunnelClient.target(emulator)).status == 101)
            open.removeAll()
        }
        silent.stop()
    }

    @Test func eachEndpointHasItsOwnLimit() async throws {
        let silent = try LoopbackServer.silent()
        try await withEmulator(target: silent.port) {
            $0.inventory.endpoints[0].maxConnections = 2
            $0.inventory.endpoints.append(Endpoint(id: "eice-0000000000000000b", maxConnections: 1))
        } _: { emulator in
            let first = try (0..<2).map { _ in try TunnelClient.open(emulator) }
            #expect(try answer(emulator, TunnelClient.target(emulator)).status == 429)
            let host = "eice-0000000000000000b.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com"
            let target = TunnelClient.target(emulator, endpoint: "eice-0000000000000000b", host: host)
            let other = try TunnelClient(emulator, serverName: host)
            try other.handshake()
            #expect(try other.upgrade(target, host: host).status == 101)
            let figures = emulator.state.statistics
            #expect(figures.endpoints["eice-0000000000000000b"]?.open == 1)
            #expect(figures.tunnelsOpen == 3 && figures.refusedFull == 1)
            withExtendedLifetime(first) {}
        }
        silent.stop()
    }

    @Test func aClientThatIsGoneGivesItsSlotBack() async throws {
        let silent = try LoopbackServer.silent()
        try await withEmulator(target: silent.port) { emulator in
            for _ in 0..<40 { try TunnelClient.open(emulator).socket.reset() }
        }
        try await eventually("the targets are closed") { silent.openCount == 0 }
        silent.stop()
    }

    @Test func aResetIsNoticedWhileTheTargetReadsNothing() async throws {
        let silent = try LoopbackServer.silent()
        try await runEmulator(target: silent.port) { emulator in
            try await onThread {
                let client = try TunnelClient.open(emulator)
                var limit = timeval(tv_sec: 0, tv_usec: 200_000)
                setsockopt(
                    client.socket.descriptor.raw, SOL_SOCKET, SO_SNDTIMEO, &limit,
                    socklen_t(MemoryLayout<timeval>.size))
                #expect(throws: TestFailure.self) {
                    for _ in 0..<100 { try client.send([UInt8](repeating: 1, count: 1_000_000)) }
                }
                client.socket.reset()
            }
            try await eventually("its slot is free") { emulator.state.statistics.tunnelsOpen == 0 }
        }
        silent.stop()
    }

    @Test func aConnectionWithoutARequestEnds() async throws {
        try await withEmulator {
            // Long enough for the handshake below on a busy machine.
            $0.requestTimeout = .milliseconds(500) * Patience.factor
        } _: { emulator in
            let silent = try LoopbackSocket.connect(port: emulator.tunnelPort)
            #expect(try silent.readToEnd() == [])
            let spare = try TunnelClient(emulator)
            try spare.handshake()
            #expect(throws: (any Error).self) { try spare.read() }
        }
    }
}
