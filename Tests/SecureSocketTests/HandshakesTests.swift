import SocketIO
import Synchronization
import TestSupport
import Testing

@testable import SecureSocket

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
}
