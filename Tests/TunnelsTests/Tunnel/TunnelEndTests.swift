import Failures
import Glibc
import SocketIO
import TestSupport
import Testing
import WebSocket

@testable import Tunnels

/// The ends of open tunnels: whose they are, what each side learns, and that the slot comes back.
@Suite struct TunnelEndTests {
    private struct Outcome {
        let reason: CloseReason
        /// What the client got, or nil where it was reset.
        let text: String?
    }

    /// Runs one client against `script` until its tunnel has ended.
    private func outcome(
        timeouts: TunnelTimeouts = .patient, maxDuration: Duration = .seconds(3_600),
        idleTimeout: Duration? = nil, sends: String = "go",
        _ script: @escaping @Sendable (EndpointConnection) throws -> Void
    ) async throws -> Outcome {
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.receive(sends.utf8.count)
            try script(connection)
        }
        let bench = try await Bench(endpoint, timeouts: timeouts)
        let port = try await bench.forward(maxDuration: maxDuration, idleTimeout: idleTimeout)
        let client = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try client.write(sends)
            return client
        }
        let text = try? await onThread { String(decoding: try client.readToEnd(), as: UTF8.self) }
        client.close()
        let reason = try await bench.end()
        try await bench.waitForSlots(.init())
        try await eventually("the endpoint's connection is closed") { endpoint.openCount == 0 }
        #expect(await bench.lentBuffers() == 0)
        return Outcome(reason: reason, text: text)
    }

    @Test func aFailingCloseResetsTheClientAndKeepsItsWords() async throws {
        let outcome = try await outcome { connection in
            try connection.sendClose(1_011, "Unable to connect to target")
            #expect(try connection.drain().then == .close(1_011, ""))
        }
        let failure = try #require(outcome.reason.failure)
        #expect(failure.kind == .targetUnreachable)
        #expect(failure.why == #"eice-0123 says 1011 "Unable to connect to target""#)
        #expect(outcome.text == nil)
    }

    @Test("a client that ended first leaves no timer behind")
    func noTimerAfterTheEnd() async throws {
        let leave = try Gate()
        let endpoint = try ScriptedEndpoint.open { connection in
            leave.wait()
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        client.shutdownWrite()
        let handle = try await bench.openTunnel()
        try await eventually("the drain began") {
            try await bench.visit(handle) { tunnel, _ in tunnel.clock.timers[.drain] != nil }
        }
        let tunnel = try await bench.visit(handle) { tunnel, loop in LoopBound(tunnel, on: loop) }
        leave.open()
        #expect(try await bench.end() == .remoteClosed)
        let timers = await Bench.run(on: tunnel.loop) { loop in tunnel.get(on: loop).clock.timers.count }
        #expect(timers == 0)
        client.close()
    }

    @Test func theReasonOfACloseSurvivesAnUploadThatItCutsShort() async throws {
        // The connection is closed on unread bytes, so the client's next write meets a reset. One record carries both
        // frames, or Nagle's algorithm would hold the second one back until the close drops it.
        let reason = Array("Unable to connect to target".utf8)
        let last = frame(.binary, Array("last words".utf8)) + frame(.close, [3, 243] + reason)
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.receive(1)
            try connection.sendRaw(last)
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        let got = try await onThread {
            try client.descriptor.setNonBlocking()
            while (try? client.write([UInt8](repeating: 1, count: 65_536))) != nil {}
            try client.descriptor.setNonBlocking(false)
            return try client.read(exactly: 10)
        }
        #expect(got == Array("last words".utf8))
        #expect(try await bench.end().failure?.kind == .targetUnreachable)
        client.close()
    }

    @Test func aTextMessageIsRefusedWith1003() async throws {
        let outcome = try await outcome { connection in
            try connection.sendRaw(frame(.text, Array("hello".utf8)))
            #expect(try connection.drain().then == .close(1_003, "only binary messages"))
        }
        #expect(outcome.reason.failure?.kind == .webSocket)
        #expect(outcome.text == nil)
    }

    private static let brokenRules: [(bytes: [UInt8], code: UInt16)] = [
        (frame(.binary, [1, 2, 3], maskingKey: 7), 1_002),
        ([0xC2, 0x00], 1_002),  // a reserved bit
        ([0x82, 126, 0, 5, 1, 2, 3, 4, 5], 1_002),  // a length that is not minimal
        ([0x83, 0x00], 1_002),  // a reserved opcode
        (frame(.close, [3, 232, 0xFF]), 1_007),  // a reason that is no UTF-8
    ]

    @Test(arguments: brokenRules)
    func aBrokenRuleIsAnsweredWithItsCode(bytes: [UInt8], code: UInt16) async throws {
        let outcome = try await outcome { connection in
            try connection.sendRaw(bytes)
            guard case .close(let sent, _) = try connection.drain().then else {
                Issue.record("no Close came")
                return
            }
            #expect(sent == code)
        }
        #expect(outcome.reason.failure?.kind == .webSocket)
        #expect(outcome.text == nil)
    }

    @Test(arguments: [true, false])
    func anEndOfTLSWithoutACloseFrameIsACut(withNotify: Bool) async throws {
        let outcome = try await outcome { connection in
            if withNotify { try connection.sendCloseNotify() }
        }
        let failure = try #require(outcome.reason.failure)
        #expect(failure.kind == .connectionLost)
        #expect(failure.what == "eice-0123 ended the connection without a WebSocket close")
        #expect(outcome.text == nil)
    }

    @Test func anOrderlyCloseIsAnEndOfFile() async throws {
        let outcome = try await outcome { connection in
            try connection.send("bye")
            try connection.sendClose(1_000)
            #expect(try connection.drain().then == .close(1_000, ""))
        }
        #expect(outcome.reason == .remoteClosed)
        #expect(outcome.text == "bye")
    }

    @Test func aCloseThatIsNotAnsweredCostsTheSlotNoLongerThanItsTimeout() async throws {
        var timeouts = TunnelTimeouts.patient
        timeouts.close = .milliseconds(100)
        let over = try Gate()
        let endpoint = try ScriptedEndpoint.open { _ in over.wait() }
        let bench = try await Bench(endpoint, timeouts: timeouts)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        client.close()
        #expect(try await bench.end() == .localClosed)
        try await bench.waitForSlots(.init())
        over.open()
    }

    @Test func theCloseOfATunnelWhoseClientDoesNotReadIsAnsweredAtOnce() async throws {
        // Bytes that wait unread for the client's sake must not keep the endpoint's answer from us.
        var timeouts = TunnelTimeouts.patient
        timeouts.close = .seconds(3_600)
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try? connection.send([UInt8](repeating: 1, count: 30_000_000))
            _ = try connection.drain()
            try connection.answerClose()
        }
        let bench = try await Bench(endpoint, timeouts: timeouts)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port, receiveBuffer: 4_096) }
        try await eventually("the tunnel is stuck") { try await bench.isStuck() }
        let handle = try #require(await bench.handles().first)
        handle.close(.requested("asked for"))
        #expect(try await bench.end() == .requested("asked for"))
        try await bench.waitForSlots(.init())
        client.close()
    }

    @Test func theTimeOfATunnelIsLimited() async throws {
        let outcome = try await outcome(maxDuration: .milliseconds(200)) { connection in
            #expect(try connection.drain().then == .close(1_000, ""))
            try connection.answerClose()
        }
        #expect(outcome.reason == .maxDuration(.milliseconds(200)))
        #expect(outcome.text == nil)
    }

    @Test func anIdleTunnelEnds() async throws {
        let outcome = try await outcome(idleTimeout: .milliseconds(200)) { connection in
            #expect(try connection.drain().then == .close(1_000, ""))
            try connection.answerClose()
        }
        #expect(outcome.reason == .idle(for: .milliseconds(200)))
    }

    @Test func manyTunnelsOfOneLoopKeepTheirOwnTimers() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, relays: 1)
        let port = try await bench.forward(maxDuration: .milliseconds(300), idleTimeout: .seconds(60))
        let clients = try await onThread { try (0..<16).map { _ in try LoopbackSocket.connect(port: port) } }
        let reasons = try await bench.ends(16)
        #expect(reasons.allSatisfy { $0 == .maxDuration(.milliseconds(300)) })
        try await bench.waitForSlots(.init())
        for client in clients { client.close() }
    }

    // MARK: Half-close

    @Test func aTargetSilentAfterTheHalfCloseIsLeft() async throws {
        var timeouts = TunnelTimeouts.patient
        timeouts.drain = .milliseconds(200)
        let endpoint = try ScriptedEndpoint.open { connection in
            #expect(try connection.drain().then == .close(1_000, ""))
            try connection.answerClose()
        }
        let bench = try await Bench(endpoint, timeouts: timeouts)
        let port = try await bench.forward()
        let text = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            client.shutdownWrite()
            return try client.readToEnd()
        }
        #expect(text.isEmpty)
        #expect(try await bench.end() == .drained(after: .milliseconds(200)))
    }

    @Test func silenceBeforeTheHalfCloseDoesNotCount() async throws {
        var timeouts = TunnelTimeouts.patient
        timeouts.drain = .milliseconds(600) * Patience.factor
        let closing = try Gate()
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.receive(1)
            closing.wait()
            try connection.send("answer")
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint, timeouts: timeouts)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        try client.write("x")
        let later = ContinuousClock.now + .milliseconds(700) * Patience.factor
        try await eventually("the target was silent for longer than the drain timeout") { .now > later }
        // A task could have to wait for longer than the drain timeout until it goes on.
        let answer = try await onThread {
            client.shutdownWrite()
            let isEnded = client.waitForInput(milliseconds: 100)
            closing.open()
            #expect(!isEnded, "the drain timeout is not over")
            return String(decoding: try client.readToEnd(), as: UTF8.self)
        }
        #expect(answer == "answer")
        client.close()
        #expect(try await bench.end() == .remoteClosed)
    }

    @Test func aClientThatGoesAfterItsHalfCloseIsNoticed() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.drain()
            try connection.answerClose()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        // One that is gone when it is looked at was nobody's.
        try await eventually("it was taken") { await bench.handles().count == 1 }
        client.shutdownWrite()
        client.close()
        // Long before the drain timeout; whether it was in the queue or in the dial is a matter of luck.
        let reason = try await bench.end()
        #expect([.localClosed, .clientLeft].contains(reason))
    }

    // MARK: From outside

    @Test func removingAForwardClosesItsTunnels() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        await bench.onControl { tables, loop in try? tables.forwards.remove(["web"], on: loop) }
        await #expect(throws: SystemError("read", code: ECONNRESET)) { try await onThread { try client.read() } }
        #expect(try await bench.end() == .requested("the forward web was removed"))
        #expect(throws: SystemError("connect to port \(port)", code: ECONNREFUSED)) {
            try LoopbackSocket.connect(port: port)
        }
    }

    @Test func stoppingWaitsForTheLastTunnel() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo())
        let port = try await bench.forward()
        let clients = try await onThread { try (0..<3).map { _ in try LoopbackSocket.connect(port: port) } }
        try await bench.waitForStates([.open, .open, .open])
        let stopped = Box<Int>()
        await bench.onControl { tables, _ in tables.tunnels.stop { stopped.value = 1 } }
        #expect(stopped.value == nil)
        for client in clients { client.close() }
        try await eventually("the table is empty") { stopped.value == 1 }
        #expect(bench.ends.count == 3)
    }
}
