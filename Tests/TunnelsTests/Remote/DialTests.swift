import Failures
import Glibc
import InstanceConnect
import SocketIO
import Synchronization
import TestSupport
import Testing
import WebSocket

@testable import Tunnels

/// What can go wrong before a tunnel is open, and who is told how.
@Suite struct DialTests {
    /// One part may take but a moment, so that nothing else meets its deadline on a slow machine.
    private func impatient(in part: WritableKeyPath<TunnelTimeouts, Duration>) -> TunnelTimeouts {
        var timeouts = TunnelTimeouts.patient
        timeouts[keyPath: part] = .milliseconds(200)
        return timeouts
    }

    private func impatient(in phase: WritableKeyPath<DialTimeouts, Duration>) -> DialTimeouts {
        var timeouts = DialTimeouts.patient
        timeouts[keyPath: phase] = .milliseconds(200)
        return timeouts
    }

    /// Connects a client to a forward and returns why its tunnel ended, and how the client saw it.
    private func fail(
        _ endpoint: ScriptedEndpoint, timeouts: TunnelTimeouts = .patient, phases: DialTimeouts = .patient,
        router: ScriptedRouter = .init()
    ) async throws -> Failure {
        let bench = try await Bench(endpoint, timeouts: timeouts, phases: phases, router: router)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        await #expect(throws: SystemError("read", code: ECONNRESET)) { try await onThread { try client.readToEnd() } }
        let reason = try await bench.end()
        try await bench.waitForSlots(.init())
        #expect(await bench.lentBuffers() == 0)
        #expect(await bench.onControl { tables, _ in tables.forwards["web"]?.lastFailure?.reason } == reason)
        try await eventually("the endpoint's connection is closed") { endpoint.openCount == 0 }
        return try #require(reason.failure)
    }

    @Test func aTargetThatCannotBeResolvedEndsTheConnectionWithItsReason() async throws {
        let cause = Failure(.unknownTarget, "there is no instance i-0123456789abcdef0", hint: "look again")
        let router = ScriptedRouter(.init(resolveFailure: cause))
        #expect(try await fail(ScriptedEndpoint.echo(), router: router) == cause)
    }

    @Test func aRequestThatCannotBeSignedEndsTheConnectionWithItsReason() async throws {
        let cause = Failure(.expiredCredentials, "the token has expired")
        let router = ScriptedRouter(.init(signFailure: cause))
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            _ = try connection.next()
        }
        #expect(try await fail(endpoint, router: router) == cause)
    }

    @Test func aDialThatFollowsSoonIsSignedWithoutWaiting() async throws {
        let router = ScriptedRouter(.init(holdsSign: true, signsAtOnce: true))
        let bench = try await Bench(ScriptedEndpoint.echo(), router: router)
        let port = try await bench.forward()
        let echoed = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try client.write("hello")
            return try client.read(exactly: 5)
        }
        #expect(echoed == Array("hello".utf8))
        #expect(router.signatures == 1)
    }

    @Test func theNextDialToAnEndpointResumesItsSession() async throws {
        let resumed = Mutex<[Bool]>([])
        let endpoint = try ScriptedEndpoint { connection in
            try connection.open()
            resumed.withLock { $0.append(connection.wasResumed) }
            try connection.echo()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        for _ in 0..<3 {
            let echoed = try await onThread {
                let client = try LoopbackSocket.connect(port: port)
                try client.write("hello")
                return try client.read(exactly: 5)
            }
            #expect(echoed == Array("hello".utf8))
        }
        #expect(resumed.withLock { $0 } == [false, true, true])
    }

    @Test func aResolverThatHangsMeetsItsDeadline() async throws {
        let router = ScriptedRouter(.init(holdsResolve: true))
        let failure = try await fail(ScriptedEndpoint.echo(), timeouts: impatient(in: \.resolve), router: router)
        #expect(failure.kind == .deadline)
        #expect(failure.what == "resolving i-0123456789abcdef0:22 took too long")
        #expect(failure.why == "no answer from the script within 200ms")
    }

    @Test func anEndpointSilentInTLSMeetsTheDeadlineOfThatPhase() async throws {
        let endpoint = try ScriptedEndpoint { connection in _ = try connection.socket.readToEndOrReset() }
        let failure = try await fail(endpoint, phases: impatient(in: \.tls))
        #expect(failure.kind == .deadline)
        #expect(failure.sentence.contains("TLS handshake"))
    }

    @Test func anEndpointSilentAfterTheRequestMeetsTheDeadlineOfThatPhase() async throws {
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            _ = try connection.request()
            _ = try connection.next()
        }
        let failure = try await fail(endpoint, phases: impatient(in: \.upgrade))
        #expect(failure.kind == .deadline)
        #expect(failure.sentence.contains("WebSocket upgrade"))
    }

    @Test func aPortThatRefusesIsNamed() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        endpoint.stop()
        let failure = try await fail(endpoint)
        #expect(failure.kind == .cannotConnect)
        #expect(failure.sentence.contains("eice-0123 at 127.0.0.1:\(endpoint.port)"))
        #expect(failure.why == "connection refused")
    }

    @Test func aRefusedUpgradeIsShownVerbatim() async throws {
        let message = "User: arn:aws:iam::1:user/ann is not authorized to perform: ec2-instance-connect:OpenTunnel"
        let body = #"{"ErrorCode":"AccessDeniedException","Message":"\#(message)"}"#
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            _ = try connection.request()
            try connection.sendRaw(UpgradeResponse.refusing(status: 403, body: Array(body.utf8)))
            try connection.sendCloseNotify()
        }
        let failure = try await fail(endpoint)
        #expect(failure.kind == .accessDenied)
        #expect(failure.why == "AccessDeniedException: \(message) (HTTP 403)")
    }

    /// Refuses the first `count` requests as signed at the wrong time, and serves the rest.
    private func skewed(refusing count: Int) throws -> ScriptedEndpoint {
        let served = Mutex(0)
        return try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let number = served.withLock { number in
                number += 1
                return number
            }
            guard number <= count else {
                try connection.accept(request)
                try connection.echo()
                return
            }
            let body = #"{"ErrorCode":"InvalidSignatureException","Message":"Signature expired: too old"}"#
            let headers = HTTPHeaders([.init("Date", "Sun, 06 Nov 1994 08:49:37 GMT")])
            try connection.sendRaw(UpgradeResponse.refusing(status: 403, headers: headers, body: Array(body.utf8)))
            try connection.sendCloseNotify()
        }
    }

    @Test func aSignatureWhoseTimeIsRefusedIsMadeAgainOnceItIsPutRight() async throws {
        let endpoint = try skewed(refusing: 1)
        let router = ScriptedRouter(.init(correction: .success(true)))
        let bench = try await Bench(endpoint, router: router)
        let port = try await bench.forward()
        let client = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try client.write("ping")
            #expect(try client.read(exactly: 4) == Array("ping".utf8))
            return client
        }
        #expect(router.signatures == 2)
        #expect(router.resolutions == 2, "AWS's answer corrects a clock that is in doubt")
        #expect(bench.ends.isEmpty)
        client.close()
        #expect(try await bench.end() == .localClosed)
        try await bench.waitForSlots(.init())
    }

    @Test func itIsMadeAgainOnlyOnce() async throws {
        let router = ScriptedRouter(.init(correction: .success(true)))
        let failure = try await fail(skewed(refusing: 9), router: router)
        #expect(failure.kind == .accessDenied)
        #expect(failure.hint?.contains("clock") == true)
        #expect(router.signatures == 2)
    }

    @Test func aSignatureThatCannotBePutRightIsShownAsItWasRefused() async throws {
        let router = ScriptedRouter(.init(correction: .success(false)))
        #expect(try await fail(skewed(refusing: 9), router: router).why.contains("too old"))
        #expect(router.signatures == 1)
        let cause = Failure(.expiredCredentials, "the credentials have expired")
        let broken = ScriptedRouter(.init(correction: .failure(cause)))
        #expect(try await fail(skewed(refusing: 9), router: broken) == cause)
    }

    @Test("no endpoint is blamed for a correction that fails, whatever its kind")
    func correctionFails() async throws {
        let cause = Failure(.connectionLost, "STS is away")
        var script = ScriptedRouter.Script(correction: .failure(cause))
        script.alternatives = [Endpoint(id: "eice-4567", dnsName: TestCertificates.name, nearness: .sameZone)]
        let router = ScriptedRouter(script)
        let bench = try await Bench(skewed(refusing: 9), router: router)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        #expect(try await bench.end().failure == cause)
        #expect(router.signatures == 1)
        let coolingDown = await bench.onControl { tables, _ in
            tables.pools.all.map { $0.isCoolingDown(at: .now) }
        }
        #expect(!coolingDown.contains(true))
        client.close()
    }

    @Test func aRefusalWhoseBodyEndsWithTheConnectionIsStillARefusal() async throws {
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            _ = try connection.request()
            try connection.sendRaw(Array("HTTP/1.1 500 Oh\r\n\r\nsomething broke".utf8))
        }
        let failure = try await fail(endpoint)
        #expect(failure.kind == .serviceUnavailable)
        #expect(failure.why == "something broke (HTTP 500)")
    }

    @Test func anEndDuringTheUpgradeIsALostConnection() async throws {
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            _ = try connection.request()
            try connection.sendCloseNotify()
        }
        let failure = try await fail(endpoint)
        #expect(failure.kind == .connectionLost)
        #expect(failure.what == "eice-0123 ended the connection during the upgrade")
    }

    @Test func anEndBeforeTheRequestIsSignedIsNoticedAtOnce() async throws {
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            try connection.sendCloseNotify()
        }
        let failure = try await fail(endpoint, router: ScriptedRouter(.init(holdsSign: true)))
        #expect(failure.kind == .connectionLost)
        #expect(failure.what == "eice-0123 ended the connection before the upgrade")
    }

    @Test func somethingElseThanHTTPIsNoUpgrade() async throws {
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            _ = try connection.request()
            try connection.sendRaw(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8))
        }
        #expect(try await fail(endpoint).kind == .upgradeRefused)
    }

    @Test func certificatesThatCannotBeTrustedAreRefusedAndNamed() async throws {
        for (certificate, words) in [
            (TestCertificates.untrusted, "not trusted"), (TestCertificates.otherName, "for another name"),
            (TestCertificates.expired, "has expired"),
        ] {
            let endpoint = try ScriptedEndpoint(certificate: certificate) { try $0.open() }
            let failure = try await fail(endpoint)
            #expect(failure.kind == .tls)
            #expect(failure.what == "TLS with \(TestCertificates.name) failed")
            #expect(failure.why.contains(words))
        }
    }

    @Test func bytesThatAreNotTLSFailTheHandshake() async throws {
        let endpoint = try ScriptedEndpoint { try $0.socket.write("HTTP/1.1 400 Bad Request\r\n\r\n") }
        #expect(try await fail(endpoint).kind == .tls)
    }

    // MARK: Clients that wait

    @Test func aWaitingClientIsHandedOverWithTheFirstBytes() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            // A ping is no word of the target.
            try connection.sendRaw(frame(.ping))
            _ = try connection.next()
            try connection.send("SSH-2.0\r\n")
            try connection.echo()
        }
        let bench = try await Bench(endpoint)
        let (_, client) = try await bench.connect()
        let socket = try await client.socket()
        let text = try await onThread {
            try socket.write("bytes")
            return String(decoding: try socket.read(exactly: 26), as: UTF8.self)
        }
        #expect(text == "hello\nSSH-2.0\r\nearly bytes")
        socket.close()
        #expect(try await bench.end() == .localClosed)
        #expect(await bench.lentBuffers() == 0)
    }

    @Test func firstBytesThatRideWithTheAnswerCount() async throws {
        let endpoint = try ScriptedEndpoint { connection in
            try connection.open(firstBytes: frame(.binary, Array("banner".utf8)))
            try connection.echo()
        }
        let bench = try await Bench(endpoint)
        let (_, client) = try await bench.connect()
        let socket = try await client.socket()
        let text = try await onThread { String(decoding: try socket.read(exactly: 12), as: UTF8.self) }
        #expect(text == "hello\nbanner")
    }

    @Test func aTargetThatSpeaksAndLeavesIsHeardInFull() async throws {
        let last = frame(.binary, Array("Exceeded MaxStartups\r\n".utf8)) + frame(.close, [3, 232])
        let endpoint = try ScriptedEndpoint { connection in
            try connection.open(firstBytes: last)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let (_, client) = try await bench.connect()
        let socket = try await client.socket()
        let text = try await onThread { String(decoding: try socket.readToEnd(), as: UTF8.self) }
        #expect(text == "hello\nExceeded MaxStartups\r\n")
        socket.close()
        #expect(try await bench.end() == .remoteClosed)
        try await bench.waitForSlots(.init())
    }

    @Test func aDeadTargetIsToldToWhoWaits() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            try connection.sendClose(1_011, "Unable to connect to target")
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let (_, client) = try await bench.connect()
        let failure = try #require(try await client.failure().failure)
        #expect(failure.kind == .targetUnreachable)
        #expect(failure.sentence.contains("Unable to connect to target"))
        #expect(failure.sentence.contains("i-0123456789abcdef0"))
        #expect(!client.opened)
        _ = try await bench.end()
        try await eventually("discovery is asked anew") { bench.router.forgotten == 1 }
    }

    @Test func aSilentTargetMeetsItsDeadline() async throws {
        let heard = Box<EndpointConnection.Heard>()
        let endpoint = try ScriptedEndpoint.open { heard.value = try $0.drain().then }
        let bench = try await Bench(endpoint, timeouts: impatient(in: \.firstBytes))
        let (_, client) = try await bench.connect()
        #expect(try await client.failure().failure?.kind == .deadline)
        try await bench.waitForSlots(.init())
    }

    @Test func aClientThatIsCalledOffWhileItWaitsFreesItsPlace() async throws {
        let heard = Box<EndpointConnection.Heard>()
        let endpoint = try ScriptedEndpoint.open { connection in
            heard.value = try connection.drain().then
            try connection.answerClose()
        }
        let bench = try await Bench(endpoint)
        let (handle, client) = try await bench.connect()
        try await eventually("the tunnel waits for the target") { handle.snapshot.requestID == "request-1" }
        handle.close(.clientLeft)
        #expect(try await client.failure() == .clientLeft)
        #expect(try await bench.end() == .clientLeft)
        #expect(heard.value == .close(1_000, ""))
        try await bench.waitForSlots(.init())
    }

    // MARK: Clients that leave

    @Test func aClientThatLeavesWhileDialingFreesItsPlace() async throws {
        let endpoint = try ScriptedEndpoint { connection in _ = try connection.socket.readToEndOrReset() }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        for leave in [LoopbackSocket.close, LoopbackSocket.reset] {
            let before = bench.ends.count
            let client = try await onThread { try LoopbackSocket.connect(port: port) }
            try await bench.waitForStates([.dialing])
            try client.write("never read")
            leave(client)()
            #expect(try await bench.ends(before + 1).last == .clientLeft)
            try await bench.waitForSlots(.init())
        }
    }

    @Test func aClientThatLeavesWhileItsTargetIsResolvedIsForgotten() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), router: ScriptedRouter(.init(holdsResolve: true)))
        let folder = try TemporaryDirectory()
        try await bench.add(Bench.specification(local: .path(folder("s"))))
        let client = try await onThread { try LoopbackSocket.connect(path: folder("s")) }
        try await bench.waitForStates([.queued])
        client.close()
        #expect(try await bench.end() == .clientLeft)
    }

    @Test func aClientThatLeavesTheQueueGivesItsPlaceToTheNext() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), slots: 1)
        let port = try await bench.forward()
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        let third = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForSlots(.init(inUse: 1, queued: 2))
        second.close()
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        first.close()
        let answer = try await onThread {
            try third.write("third")
            return try third.read(exactly: 5)
        }
        #expect(answer == Array("third".utf8))
        #expect(try await bench.ends(2) == [.clientLeft, .localClosed])
        third.close()
        _ = try await bench.ends(3)
        try await bench.waitForSlots(.init())
    }

    @Test func aHalfClosedClientKeepsItsPlaceInTheQueue() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), slots: 1)
        let port = try await bench.forward()
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        let second = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try client.write("query")
            client.shutdownWrite()
            return client
        }
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        first.close()
        #expect(try await onThread { try second.read(exactly: 5) } == Array("query".utf8))
        second.close()
        #expect(try await bench.ends(2) == [.localClosed, .localClosed])
    }

    @Test func whoHalfClosedInTheQueueAndThenLeavesIsNoticed() async throws {
        // The close sends nothing after the half-close: only a second look finds it.
        let bench = try await Bench(ScriptedEndpoint.echo(), slots: 1)
        let port = try await bench.forward()
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        second.shutdownWrite()
        try await bench.waitForSlots(.init(inUse: 1, queued: 1))
        second.close()
        try await bench.waitForSlots(.init(inUse: 1, queued: 0))
        #expect(try await bench.ends(1) == [.clientLeft])
        first.close()
    }

    // MARK: The queue

    @Test func theQueueIsServedInOrder() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), slots: 1)
        let port = try await bench.forward()
        var clients: [LoopbackSocket] = []
        for number in 0..<5 {
            clients.append(try await onThread { try LoopbackSocket.connect(port: port) })
            try await bench.waitForSlots(.init(inUse: 1, queued: number))
        }
        for (number, client) in clients.enumerated() {
            try await onThread {
                try client.write("x")
                _ = try client.read(exactly: 1)
            }
            let open = await bench.handles().filter { $0.snapshot.state == .open }.map(\.id)
            #expect(open == [UInt64(number + 1)])
            client.close()
            _ = try await bench.ends(number + 1)
        }
        try await bench.waitForSlots(.init())
    }

    @Test func waitingEndsWithTheQueuesTimeout() async throws {
        var timeouts = TunnelTimeouts.patient
        timeouts.queue = .milliseconds(150)
        let bench = try await Bench(ScriptedEndpoint.echo(), timeouts: timeouts, slots: 1)
        let port = try await bench.forward()
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        let failure = try #require(try await bench.end().failure)
        #expect(failure.kind == .endpointFull)
        #expect(failure.why == "waited 150ms")
        try await bench.waitForSlots(.init(inUse: 1, queued: 0))
        first.close()
        second.close()
        _ = try await bench.ends(2)
        try await bench.waitForSlots(.init())
    }
}
