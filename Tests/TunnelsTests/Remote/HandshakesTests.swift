import SocketIO
import Synchronization
import TestSupport
import Testing

@testable import Tunnels

/// TLS handshakes that are done on other threads, since there are several.
@Suite struct HandshakesTests {
    @Test func oneAloneIsNoneOfSeveral() {
        let handshakes = Handshakes()
        let first = handshakes.begin()
        #expect(!first.isOneOfSeveral)
        do {
            let second = handshakes.begin()
            #expect(first.isOneOfSeveral && second.isOneOfSeveral)
        }
        #expect(!first.isOneOfSeveral)
    }

    /// What steps did on the loop, in its order.
    private final class Record: Sendable {
        let begun = Mutex<[Int]>([])
        let ended = Mutex<[Int]>([])
    }

    @Test func whereMoreComeThanThreadsNeedTheRestWaitsInItsOrder() async throws {
        let (record, gate) = (Record(), try Gate())
        let loop = try Loop(label: "test")
        loop.submit { loop in
            let handshakes = Handshakes(cores: 1)
            for number in 0..<40 {
                handshakes.compute(
                    {
                        record.begun.withLock { $0.append(number) }
                        return {
                            gate.wait()
                            return number
                        }
                    }, then: { number in record.ended.withLock { $0.append(number) } }, on: loop)
            }
            record.begun.withLock { #expect($0 == Array(0..<16)) }
            gate.open()
        }
        try await eventually("all have ended") { record.ended.withLock { $0.count } == 40 }
        #expect(record.begun.withLock { $0 } == Array(0..<40))
        #expect(record.ended.withLock { $0 } == Array(0..<40))
    }

    @Test func whatIsNotWantedAnyMoreIsNotComputedAndHoldsUpNobody() async throws {
        let (record, gate) = (Record(), try Gate())
        let loop = try Loop(label: "test")
        loop.submit { loop in
            let handshakes = Handshakes(cores: 1)
            for number in 0..<60 {
                handshakes.compute(
                    { () -> (@Sendable () -> Int)? in
                        guard number < 16 || number == 59 else { return nil }
                        return {
                            gate.wait()
                            return number
                        }
                    }, then: { number in record.ended.withLock { $0.append(number) } }, on: loop)
            }
            gate.open()
        }
        try await eventually("the last one has ended") { record.ended.withLock { $0.last } == 59 }
        #expect(record.ended.withLock { $0 } == Array(0..<16) + [59])
    }

    @Test func aStepThatFollowsKeepsItsPlace() async throws {
        let (record, gate) = (Record(), try Gate())
        let loop = try Loop(label: "test")
        loop.submit { loop in
            let handshakes = Handshakes(cores: 1)
            handshakes.compute(
                { { gate.wait() } },
                then: {
                    handshakes.compute(
                        { { 100 } }, then: { number in record.ended.withLock { $0.append(number) } }, on: loop)
                }, on: loop)
            for number in 1..<40 {
                handshakes.compute(
                    { { number } }, then: { number in record.ended.withLock { $0.append(number) } }, on: loop)
            }
            gate.open()
        }
        try await eventually("all have ended") { record.ended.withLock { $0.count } == 40 }
        #expect(record.ended.withLock { $0 } == Array(1..<16) + [100] + Array(16..<40))
    }

    /// How many steps are with threads at a time: all of a crowd, or one while the others wait.
    private static let crowds: [Int?] = [nil, 1]

    @Test(arguments: crowds) func aCrowdIsOpenedWhole(away: Int?) async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, handshakes: away)
        let port = try await bench.forward()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<16 {
                group.addTask {
                    try await onThread {
                        let client = try LoopbackSocket.connect(port: port)
                        let text = "hello \(number)!"
                        try client.write(text)
                        #expect(String(decoding: try client.read(exactly: text.utf8.count), as: UTF8.self) == text)
                    }
                }
            }
            try await group.waitForAll()
        }
        _ = try await bench.ends(16)
        try await bench.waitForSlots(.init())
        #expect(await bench.lentBuffers() == 0)
        try await eventually("the endpoint's connections are closed") { endpoint.openCount == 0 }
    }

    /// What is on another thread at that moment comes back to a connection that is closed.
    @Test(arguments: crowds) func aCrowdThatLeavesDuringItsHandshakesLeavesNothingBehind(away: Int?) async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint, handshakes: away)
        for round in 1...10 {
            var handles: [TunnelHandle] = []
            for _ in 0..<8 { handles.append(try await bench.connect().0) }
            try await eventually("one of them is dialed") { handles.contains { $0.snapshot.state != .queued } }
            for handle in handles { handle.close(.clientLeft) }
            _ = try await bench.ends(8 * round)
        }
        try await bench.waitForSlots(.init())
        try await eventually("all buffers are back") { await bench.lentBuffers() == 0 }
        try await eventually("the endpoint's connections are closed") { endpoint.openCount == 0 }
    }

    @Test(arguments: crowds) func aCrowdThatIsRefusedIsToldWhy(away: Int?) async throws {
        let bench = try await Bench(
            ScriptedEndpoint { connection in try connection.socket.write("HTTP/1.1 400 Bad\r\n\r\n") },
            handshakes: away)
        var clients: [WaitingClient] = []
        for _ in 0..<8 { clients.append(try await bench.connect().1) }
        for reason in try await bench.ends(8) { #expect(reason.failure?.kind == .tls, "\(reason)") }
        try await bench.waitForSlots(.init())
        #expect(await bench.lentBuffers() == 0)
        withExtendedLifetime(clients) {}
    }
}
