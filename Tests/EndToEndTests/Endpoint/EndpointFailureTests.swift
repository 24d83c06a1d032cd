import OpenSSL
import TestSupport
import Testing

/// Endpoints that do not work: TLS, name, address, silence, refusals. The reason is named, nothing else suffers.
@Suite struct EndpointFailureTests {
    // MARK: TLS

    @Test func anUntrustedCertificateIs76() async throws {
        try await expectRefusedCertificate(
            RogueEndpoint(trusted: false, certificate: { _ in }, serve: { _ in }), "trust")
    }

    @Test func aCertificateForAnotherNameIs76() async throws {
        let rogue = try RogueEndpoint(certificate: { $0.names = [.dns("other.amazonaws.com")] }, serve: { _ in })
        try await expectRefusedCertificate(rogue, "name")
    }

    @Test func anExpiredCertificateIs76() async throws {
        let rogue = try RogueEndpoint(
            certificate: { template in
                template.notBefore -= 90 * 86_400
                template.notAfter = template.notBefore + 86_400
            }, serve: { _ in })
        try await expectRefusedCertificate(rogue, "expired")
    }

    private func expectRefusedCertificate(_ rogue: RogueEndpoint, _ word: String) async throws {
        try await Scene.alone(environment: rogue.environment) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 76, "\(result)")
            #expect(result.errors.contains(word), "\(result)")
            #expect(result.errors.contains(RogueEndpoint.name), "\(result)")
        }
    }

    @Test func whatSpeaksNoTLSIs76() async throws {
        let rogue = try RogueEndpoint.plain { socket in
            _ = try socket.read()
            try socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")
        }
        try await Scene.alone(environment: rogue.environment) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 76, "\(result)")
        }
    }

    // MARK: Names, addresses and silence

    @Test func aNameThatDoesNotResolveIs75() async throws {
        let rogue = try RogueEndpoint { _ in }
        var environment = rogue.environment
        environment["EICED_CONNECT_TO"] = nil
        try await Scene.alone(environment: environment, timeouts: ["resolve": Scene.limit(10)]) { daemon in
            // RFC 6761: `invalid` never resolves.
            let result = try await daemon.eicectl(
                "proxy", RogueEndpoint.address, "22", "--stdio", "--endpoint", RogueEndpoint.id, "--endpoint-dns",
                "endpoint.invalid")
            #expect(result.code == 75, "\(result)")
            #expect(result.errors.contains("endpoint.invalid"), "\(result)")
        }
    }

    @Test func anEndpointThatRefusesConnectionsIs75() async throws {
        let rogue = try RogueEndpoint { _ in }
        rogue.server.stop()
        let port = rogue.server.port
        try await eventually("nobody listens") { (try? LoopbackSocket.connect(port: port)) == nil }
        try await Scene.alone(environment: rogue.environment) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 75, "\(result)")
            #expect(result.errors.contains("refused"), "\(result)")
        }
    }

    @Test func anEndpointThatNeverAnswersTCPIsGivenUpAtItsDeadline() async throws {
        // A listener that accepts nothing, with a full backlog: the kernel answers no further SYN.
        let gate = try FullListener()
        let rogue = try RogueEndpoint { _ in }
        var environment = rogue.environment
        environment["EICED_CONNECT_TO"] = "127.0.0.1:\(gate.port)"
        try await Scene.alone(environment: environment, timeouts: ["connect": "500ms"]) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 75, "\(result)")
            #expect(result.errors.contains("connect"), "\(result)")
        }
    }

    @Test func anEndpointThatNeverAnswersTLSIsGivenUpAtItsDeadline() async throws {
        let rogue = try RogueEndpoint.plain { socket in while try !socket.read().isEmpty {} }
        try await Scene.alone(environment: rogue.environment, timeouts: ["tls": "500ms"]) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 75, "\(result)")
            #expect(result.errors.contains("TLS"), "\(result)")
            try await eventually("the connection is given up") { rogue.server.openCount == 0 }
        }
    }

    @Test func anEndpointThatNeverAnswersTheUpgradeIsGivenUpAtItsDeadline() async throws {
        let rogue = try RogueEndpoint { peer in while try !peer.read().isEmpty {} }
        try await Scene.alone(environment: rogue.environment, timeouts: ["upgrade": "500ms"]) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 75, "\(result)")
            #expect(result.errors.contains("upgrade"), "\(result)")
            try await eventually("the connection is given up") { rogue.server.openCount == 0 }
        }
    }

    @Test func aTricklingEndpointIsGivenUpAtTheDeadlineOfTheWholeDial() async throws {
        let rogue = try RogueEndpoint { peer in
            _ = try peer.readRequest()
            // A header field that never ends, a byte at a time, for as long as somebody reads.
            try peer.write(Array("HTTP/1.1 101 Switching Protocols\r\nX-Slow: ".utf8))
            while true {
                try peer.write([UInt8(ascii: "x")])
                if try peer.pause(milliseconds: 50) { return }
            }
        }
        let limits = ["upgrade": "20s", "dial": "700ms"]
        try await Scene.alone(environment: rogue.environment, timeouts: limits) { daemon in
            let result = try await daemon.proxy()
            #expect(result.code == 75, "\(result)")
        }
    }

    @Test func aDeadEndpointDoesNotDelayAnotherTunnel() async throws {
        let echo = try LoopbackServer.echo()
        // The first connection of the tunnels hangs, the others do not.
        let hang = ["--fault", "stall-upgrade"]
        try await Scene.play(port: echo.port, emulator: hang, timeouts: ["upgrade": Scene.limit(5)]) { scene in
            let forward = try await scene.add()
            let hanging = try await Scene.connect(forward)
            try await eventually("it is dialing") {
                try await scene.daemon.tunnels().contains { $0.state == .dialing }
            }
            try await expectEcho(scene, through: forward)
            // And it ends by its deadline, with its reason, while the listener lives.
            #expect(try await onThread { try hanging.readToEndOrReset() }.isEmpty)
            let failures = try await scene.daemon.status().recentFailures
            #expect(failures.contains { $0.failure.sentence.contains("upgrade") }, "\(failures)")
            try await expectEcho(scene, through: forward)
        }
    }

    // MARK: Refusals

    @Test func accessDeniedIs77WithTheServicesMessage() async throws {
        let body =
            #"{"ErrorCode":"AccessDeniedException","Message":"User: arn:aws:iam::123456789012:user/x is not authorized to perform: ec2-instance-connect:OpenTunnel"}"#
        try await expectRefusal(status: 403, body: body, code: 77, words: ["is not authorized to perform"])
    }

    @Test func anExpiredTokenIs77AndSaysWhatToRunNext() async throws {
        let body =
            #"{"ErrorCode":"ExpiredTokenException","Message":"The security token included in the request is expired"}"#
        try await expectRefusal(status: 403, body: body, code: 77, words: ["expired", "hint:"], inStatus: ["expired"])
    }

    @Test func anUnknownRefusalIs76AndShownVerbatim() async throws {
        let body = #"{"ErrorCode":"NeverHeardOf","Message":"the moon is in the wrong phase"}"#
        try await expectRefusal(
            status: 418, body: body, code: 76, words: ["418", "NeverHeardOf", "the moon is in the wrong phase"])
    }

    @Test func aServerErrorIs75() async throws {
        try await expectRefusal(status: 503, body: "overloaded", code: 75, words: ["503", "overloaded"])
    }

    @Test func aThrottledUpgradeIsTriedAgainUntilTheWaitIsOverAndThenIs75() async throws {
        try await throttle(times: 1_000, timeouts: ["queue": "1s"]) { scene in
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(result.code == 75, "\(result)")
            #expect(result.errors.contains("Rate exceeded"), "\(result)")
        }
    }

    @Test func aThrottledUpgradeThatIsTriedAgainGoesUnnoticed() async throws {
        try await throttle(times: 1, timeouts: [:]) { scene in
            try await expectEcho(scene, through: try await scene.add())
        }
    }

    private func throttle(
        times: Int, timeouts: [String: String], _ body: @Sendable (Scene) async throws -> Void
    ) async throws {
        let echo = try LoopbackServer.echo()
        let answer = #"{\"ErrorCode\":\"ThrottlingException\",\"Message\":\"Rate exceeded\"}"#
        let fault = #"{"kind":"refuse","times":\#(times),"status":429,"body":"\#(answer)"}"#
        try await Scene.play(port: echo.port, emulator: ["--fault", fault], timeouts: timeouts, body)
    }

    /// On stderr of `proxy`, in the log and in `status`; and the listener lives.
    ///
    /// - Parameters:
    ///   - words: what `proxy` must say.
    ///   - inStatus: what log and status must say, where that is not the same.
    private func expectRefusal(
        status: Int, body: String, code: Int32, words: [String], inStatus: [String]? = nil
    ) async throws {
        let echo = try LoopbackServer.echo()
        let quoted = body.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        let fault = #"{"kind":"refuse","times":2,"status":\#(status),"body":"\#(quoted)"}"#
        try await Scene.play(port: echo.port, emulator: ["--fault", fault]) { scene in
            let forward = try await scene.add()
            let result = try await scene.daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(result.code == code, "\(result)")
            let socket = try await Scene.connect(forward)
            #expect(try await onThread { try socket.readToEndOrReset() }.isEmpty)
            let failures = try await scene.daemon.status().recentFailures
            for word in words { #expect(result.errors.contains(word), "\(word) is missing: \(result)") }
            for word in inStatus ?? words {
                #expect(scene.daemon.log.contains(word), "\(word) is missing in the log: \(scene.daemon.log)")
                #expect(failures.contains { $0.failure.description.contains(word) }, "\(word): \(failures)")
            }
            for text in [result.errors, scene.daemon.log] { #expect(!text.contains("X-Amz-Signature=")) }
            try await expectEcho(scene, through: forward)
        }
    }
}

extension EicedDaemon {
    /// `eicectl proxy` as a plain pipe to the rogue endpoint.
    func proxy() async throws -> CommandResult {
        let arguments = ["proxy", RogueEndpoint.address, "22", "--stdio"] + RogueEndpoint.pinned
        return try await startEicectl(arguments).result(of: arguments.joined(separator: " "))
    }
}
