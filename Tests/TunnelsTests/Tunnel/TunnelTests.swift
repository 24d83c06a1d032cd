import Failures
import Glibc
import OpenSSL
import SocketIO
import TestSupport
import Testing

@testable import Tunnels

/// Bytes through a whole tunnel: a forward's listener, two loops, TLS and WebSocket, an endpoint.
@Suite(.serialized) struct TunnelTests {
    private static let paces: [Pace.Limits] = [Pace.Limits(), .restless]

    @Test(arguments: paces) func everyByteIsEchoedUnchanged(pace: Pace.Limits) async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), pace: pace)
        let port = try await bench.forward()
        let total = 20 * 1_024 * 1_024
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        async let sent: Void = onThread { try Pattern(seed: 1).send(total, on: client) }
        let received = try await onThread { try Pattern(seed: 1).verify(total, from: client) }
        try await sent
        #expect(received == total)
        client.close()
        #expect(try await bench.end() == .localClosed)
        let statistics = bench.ends[0].handle.statistics
        #expect(statistics.localToRemote == UInt64(total))
        #expect(statistics.remoteToLocal == UInt64(total))
        #expect(await bench.lentBuffers() == 0)
    }

    @Test(arguments: paces) func bothDirectionsFlowAtOnce(pace: Pace.Limits) async throws {
        let total = 8 * 1_024 * 1_024
        let endpoint = try ScriptedEndpoint.open { connection in
            let (up, down) = (Pattern(seed: 2), Pattern(seed: 3))
            var (got, sent) = (0, 0)
            while got < total || sent < total {
                if sent < total {
                    let part = sent..<min(total, sent + 50_000)
                    try connection.send(down, part)
                    sent = part.upperBound
                }
                while got < total, sent == total || connection.hasMore {
                    guard case .data(let bytes) = try connection.next() else { return }
                    guard bytes == up.bytes(got..<got + bytes.count) else { return }
                    got += bytes.count
                }
            }
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint, pace: pace)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        async let sent: Void = onThread { try Pattern(seed: 2).send(total, on: client) }
        #expect(try await onThread { try Pattern(seed: 3).verify(from: client) } == total)
        try await sent
        client.close()
        #expect(try await bench.end() == .remoteClosed)
    }

    @Test(arguments: paces) func returnTrafficSurvivesLocalHalfClose(pace: Pace.Limits) async throws {
        let total = 5_000_000
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.receive(5)
            try connection.send(Pattern(seed: 4), 0..<total)
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint, pace: pace)
        let port = try await bench.forward()
        let received = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try client.write("query")
            client.shutdownWrite()
            return try Pattern(seed: 4).verify(from: client)
        }
        #expect(received == total)
        #expect(try await bench.end() == .remoteClosed)
        #expect(bench.ends[0].handle.statistics.localToRemote == 5)
    }

    @Test func halfClosedClientsOfUnixSocketsGetTheirAnswerToo() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            let query = try connection.receive(5)
            try connection.send(query.reversed())
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let folder = try TemporaryDirectory()
        try await bench.add(Bench.specification(local: .path(folder("s"))))
        let answer = try await onThread {
            let client = try LoopbackSocket.connect(path: folder("s"))
            try client.write("query")
            client.shutdownWrite()
            return try client.readToEnd()
        }
        #expect(answer == Array("yreuq".utf8))
        #expect(try await bench.end() == .remoteClosed)
    }

    @Test func theLastBytesOfAClientThatClosesArrive() async throws {
        let total = 3_000_000
        let heard = Box<(Int, EndpointConnection.Heard)>()
        let endpoint = try ScriptedEndpoint.open { connection in
            let (bytes, then) = try connection.drain()
            heard.value = (bytes == Pattern(seed: 5).bytes(0..<total) ? bytes.count : -1, then)
            try connection.answerClose()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try Pattern(seed: 5).send(total, on: client)
            client.close()
        }
        #expect(try await bench.end() == .localClosed)
        let (count, then) = try #require(heard.value)
        #expect(count == total)
        #expect(then == .close(1_000, ""))
        try await bench.waitForSlots(.init())
    }

    @Test func whatTheTargetSentBeforeItClosedReachesASlowReader() async throws {
        let total = 3_000_000
        let endpoint = try ScriptedEndpoint.open { connection in
            try connection.send(Pattern(seed: 6), 0..<total)
            try connection.sendClose(1_000)
            // Then the connection is closed, with nothing read.
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port, receiveBuffer: 4_096) }
        // All that fits has been sent, and nobody reads.
        try await eventually("the tunnel is stuck") { try await bench.isStuck() }
        #expect(try await onThread { try Pattern(seed: 6).verify(from: client) } == total)
        client.close()
        #expect(try await bench.end() == .remoteClosed)
        try await bench.waitForSlots(.init())
        #expect(await bench.lentBuffers() == 0)
    }

    @Test func thePlaceIsFreeWhileASlowReaderStillTakesTheRest() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            // More than a local socket's buffers hold would block here; less than that is all delivered at once.
            try connection.send(Pattern(seed: 7), 0..<100_000)
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port, receiveBuffer: 4_096) }
        try await eventually("the endpoint is served") { endpoint.acceptedCount == 1 && endpoint.openCount == 0 }
        try await bench.waitForSlots(.init())
        #expect(try await onThread { try Pattern(seed: 7).verify(from: client) } == 100_000)
        client.close()
        #expect(try await bench.end() == .remoteClosed)
    }

    @Test func aClientThatGoesOnSendingAfterTheTargetClosedStillGetsItsLastBytes() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            _ = try connection.receive(1)
            try connection.send(Pattern(seed: 8), 0..<500_000)
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        let (sent, received) = try await onThread {
            try client.write("x")
            var sent = 0
            // Everything it sends from here on has nowhere to go, and must not cost it what is on its way.
            for _ in 0..<20 { sent += (try? client.write([UInt8](repeating: 1, count: 10_000))) == nil ? 0 : 1 }
            return (sent, try Pattern(seed: 8).verify(from: client))
        }
        #expect(sent > 0)
        #expect(received == 500_000)
        client.close()
        #expect(try await bench.end() == .remoteClosed)
    }

    @Test func aLocalResetEndsTheTunnelWithGoingAway() async throws {
        let heard = Box<EndpointConnection.Heard>()
        let endpoint = try ScriptedEndpoint.open { connection in
            try connection.send("banner")
            heard.value = try connection.drain().then
            try connection.answerClose()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            _ = try client.read(exactly: 6)
            client.reset()
        }
        #expect(try await bench.end() == .localReset)
        #expect(heard.value == .close(1_001, ""))
    }

    /// The reset must not wait behind bytes that the endpoint does not take.
    @Test func aLocalResetIsNoticedWhileTheEndpointTakesNothing() async throws {
        let over = try Gate()
        let endpoint = try ScriptedEndpoint.open { _ in over.wait() }
        defer { over.open() }
        var timeouts = TunnelTimeouts.patient
        timeouts.close = .milliseconds(100)
        let bench = try await Bench(endpoint, timeouts: timeouts)
        let port = try await bench.forward()
        let client = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        try client.descriptor.setNonBlocking()
        try await eventually("the tunnel is stuck") {
            while (try? client.write([UInt8](repeating: 1, count: 65_536))) != nil {}
            return try await bench.isStuck()
        }
        client.reset()
        #expect(try await bench.end() == .localReset)
        try await bench.waitForSlots(.init())
    }

    @Test func aStoppedReaderDelaysNobodyElse() async throws {
        let endpoint = try ScriptedEndpoint.open { connection in
            let kind = try connection.receive(1)
            try connection.send(kind)
            guard kind == [1] else { return try connection.echo() }
            // Endless, until the tunnel is closed.
            while true { try connection.send([UInt8](repeating: 9, count: 60_000)) }
        }
        var timeouts = TunnelTimeouts.patient
        timeouts.close = .milliseconds(100)
        // One relay loop for all.
        let bench = try await Bench(endpoint, timeouts: timeouts, relays: 1)
        let port = try await bench.forward()
        let stopped = try await onThread {
            let client = try LoopbackSocket.connect(port: port, receiveBuffer: 4_096)
            try client.write([1])
            return client
        }
        try await bench.waitForStates([.open])
        try await eventually("the tunnel is stuck") { try await bench.isStuck() }
        let slowest = try await onThread {
            let client = try LoopbackSocket.connect(port: port)
            try client.write([2])
            _ = try client.read(exactly: 1)
            var slowest = Duration.zero
            for number in 0..<500 {
                let ping = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 64)
                let start = ContinuousClock.now
                try client.write(ping)
                guard try client.read(exactly: 64) == ping else { throw TestFailure("another answer") }
                slowest = max(slowest, start.duration(to: .now))
            }
            client.close()
            return slowest
        }
        // Not a measure of speed: a tunnel that waited for the stopped one would never answer.
        #expect(slowest < .seconds(5) * Patience.factor)
        #expect(try await bench.end() == .localClosed)
        stopped.close()
        _ = try await bench.ends(2)
        #expect(await bench.lentBuffers() == 0)
    }

    @Test func pingsAreAnsweredAndControlFramesPassBetweenFragments() async throws {
        let heard = Box<[EndpointConnection.Heard]>()
        let endpoint = try ScriptedEndpoint.open { connection in
            var fragments = FrameText.frame(.binary, "one ", final: false)
            fragments += FrameText.frame(.ping, "are you there")
            fragments += FrameText.frame(.continuation, "two", final: true)
            try connection.sendRaw(fragments)
            heard.value = [try connection.next()]
            try connection.sendClose(1_000)
            _ = try connection.drain()
        }
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        let text = try await onThread { try LoopbackSocket.connect(port: port).readToEnd() }
        #expect(String(decoding: text, as: UTF8.self) == "one two")
        #expect(heard.value == [.pong(Array("are you there".utf8))])
    }

    @Test func churnLeavesNothingBehind() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, slots: 8)
        let port = try await bench.forward()
        for round in 0..<20 {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<10 {
                    group.addTask {
                        try await onThread {
                            let client = try LoopbackSocket.connect(port: port)
                            try client.write("ping")
                            // Some leave before they are served.
                            if number % 5 < 4 { _ = try client.read(exactly: 4) }
                            if (number + round) % 2 == 0 { client.reset() } else { client.close() }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        // Those that read were served; of the others some were gone before anybody looked, and made no tunnel.
        _ = try await bench.ends(160)
        try await eventually("no tunnel is left") { await bench.handles().isEmpty }
        try await bench.waitForSlots(.init())
        try await eventually("the endpoint's connections are closed") { endpoint.openCount == 0 }
        #expect(await bench.lentBuffers() == 0)
        #expect(bench.ends.allSatisfy { $0.reason.failure == nil })
        // The process runs other tests as well, so only this test's sockets are counted.
        try await eventually("no socket is held") { try heldSockets(ports: [port, endpoint.port]) == 0 }
    }
}

extension Bench {
    /// No byte of the first tunnel passed for a while, in either direction.
    func isStuck() async throws -> Bool {
        guard let statistics = await handles().first?.statistics else { return false }
        let before = (statistics.localToRemote, statistics.remoteToLocal)
        guard before.0 + before.1 > 1_000 else { return false }
        let later = ContinuousClock.now + .milliseconds(100) * Patience.factor
        try await eventually("a while has passed") { .now > later }
        return before == (statistics.localToRemote, statistics.remoteToLocal)
    }
}
