import OpenSSL
import Synchronization
import TestSupport
import Testing
import WebSocket

import class EICEEmulator.Emulator

@testable import EICEEmulator

@Suite struct TunnelTests {
    @Test func bytesGoBothWays() async throws {
        let echo = try LoopbackServer.echo()
        try await withEmulator(target: echo.port) { emulator in
            let client = try TunnelClient.open(emulator)
            try client.send(Array("hello".utf8))
            #expect(try client.receive(5) == Array("hello".utf8))
            try client.close()
            #expect(try client.receiveToClose().close.code == .normal)
        }
        echo.stop()
    }

    @Test func theAnswerIsAWebSocketWithARequestID() async throws {
        let echo = try LoopbackServer.echo()
        let head = try await withEmulator(target: echo.port) { emulator in
            let client = try TunnelClient(emulator)
            try client.handshake()
            return try client.upgrade(TunnelClient.target(emulator)).head
        }
        #expect(head.hasPrefix("HTTP/1.1 101 "))
        #expect(head.contains("x-amzn-RequestId: "))
        echo.stop()
    }

    @Test func megabytesArriveWholeInBothDirectionsAtOnce() async throws {
        let echo = try LoopbackServer.echo()
        let bytes = Pattern(seed: 7).bytes(0..<12_000_000)
        try await withEmulator(target: echo.port) { emulator in
            let client = try TunnelClient.open(emulator)
            var received: [UInt8] = []
            // The echo's own buffers bound how far the reading may lag behind.
            for start in stride(from: 0, to: bytes.count, by: 100_000) {
                let part = Array(bytes[start..<min(start + 100_000, bytes.count)])
                try client.send(part)
                received += try client.receive(part.count)
            }
            #expect(received == bytes)
        }
        echo.stop()
    }

    @Test func allThatATargetSentArrivesBeforeItsClose() async throws {
        let pattern = Pattern(seed: 3)
        let source = try LoopbackServer.source(of: pattern, count: 5_000_000)
        let end = try await withEmulator(target: source.port) { emulator in
            try TunnelClient.open(emulator).receiveToClose()
        }
        #expect(end.data == pattern.bytes(0..<5_000_000))
        #expect(end.close == CloseFrame(code: .normal))
        source.stop()
    }

    @Test func allThatAClientSentArrivesBeforeTheTargetIsClosed() async throws {
        let received = Received()
        let sink = try LoopbackServer { connection in received.bytes = try connection.readToEnd() }
        let bytes = Pattern(seed: 5).bytes(0..<3_000_000)
        try await withEmulator(target: sink.port) { emulator in
            let client = try TunnelClient.open(emulator)
            try client.send(bytes)
            try client.close()
            _ = try client.receiveToClose()
        }
        try await eventually("the target has it all") { received.bytes.count == bytes.count }
        #expect(received.bytes == bytes)
        sink.stop()
    }

    @Test func framesThatComeWithTheRequestAreNotLost() async throws {
        let echo = try LoopbackServer.echo()
        try await withEmulator(target: echo.port) { emulator in
            let client = try TunnelClient(emulator)
            try client.handshake()
            let frame = FrameEncoder.frame(.binary, payload: Array("early".utf8), maskingKey: 1)
            #expect(try client.upgrade(TunnelClient.target(emulator), early: frame).status == 101)
            #expect(try client.receive(5) == Array("early".utf8))
        }
        echo.stop()
    }

    @Test func aDeadTargetIsAClose1011AfterThe101() async throws {
        let port = try freePort()
        let ends = try await withEmulator(target: port) { emulator in
            let refused = try TunnelClient.open(emulator).receiveToClose().close
            let unknown = try TunnelClient.open(emulator, address: "10.9.9.9").receiveToClose().close
            return [refused, unknown]
        }
        let expected = CloseFrame(code: .internalError, reason: "Unable to connect to target")
        #expect(ends == [expected, expected])
    }

    @Test func aTunnelEndsWhenItsTimeIsOver() async throws {
        let silent = try LoopbackServer.silent()
        let close = try await withEmulator(target: silent.port) { emulator in
            try TunnelClient.open(emulator, duration: "1").receiveToClose().close
        }
        #expect(close == CloseFrame(code: .normal, reason: "Max tunnel duration reached"))
        silent.stop()
    }

    @Test func pingsAreAnsweredAndTextIsRefused() async throws {
        let echo = try LoopbackServer.echo()
        let close = try await withEmulator(target: echo.port) { emulator in
            let client = try TunnelClient.open(emulator)
            try client.write(FrameEncoder.frame(.ping, payload: [1, 2], maskingKey: 5))
            try client.write(FrameEncoder.frame(.text, payload: Array("hi".utf8), maskingKey: 5))
            return try client.receiveToClose().close
        }
        #expect(close.code == .unsupportedData)
        echo.stop()
    }

    @Test func anUnmaskedFrameIsAProtocolError() async throws {
        let echo = try LoopbackServer.echo()
        let close = try await withEmulator(target: echo.port) { emulator in
            let client = try TunnelClient.open(emulator)
            try client.write(FrameEncoder.frame(.binary, payload: [1], maskingKey: nil))
            return try client.receiveToClose().close
        }
        #expect(close.code == .protocolError)
        echo.stop()
    }

    @Test func aReaderThatStopsStopsTheTarget() async throws {
        let pattern = Pattern(seed: 9)
        let source = try LoopbackServer.source(of: pattern, count: 30_000_000)
        let got = try await withEmulator(target: source.port) { emulator in
            let slow = try TunnelClient.open(emulator)
            // Others are served meanwhile.
            for _ in 0..<5 { _ = try TunnelClient.open(emulator).receive(100_000) }
            return try slow.receiveToClose().data
        }
        #expect(got == pattern.bytes(0..<30_000_000))
        source.stop()
    }

    @Test func latencyIsARoundTripAndTwoForTheFirstFlight() async throws {
        let echo = try LoopbackServer.echo()
        let latency = Duration.milliseconds(60)
        try await withEmulator(target: echo.port) {
            $0.latency = latency
        } _: { emulator in
            let clock = ContinuousClock()
            // TCP, TLS 1.3, upgrade: three round trips. The fastest of several, since the machine may delay any one of them.
            var client: TunnelClient?
            let dials = try (0..<5).map { _ in
                try client?.close()
                return try clock.measure { client = try TunnelClient.open(emulator) }
            }
            let dial = try #require(dials.min())
            #expect(dial >= latency * 3)
            if Sanitizer.isAbsent { #expect(dial < latency * 6, "\(dial)") }
            let ping = try clock.measure {
                try client?.send([1])
                _ = try client?.receive(1)
            }
            #expect(ping >= latency)
            let bytes = Pattern(seed: 11).bytes(0..<2_000_000)
            try client?.send(bytes)
            #expect(try client?.receive(bytes.count) == bytes)
            try client?.close()
            #expect(try client?.receiveToClose().close.code == .normal)
        }
        echo.stop()
    }

    @Test func latencyDelaysTheTargetsEndBehindItsBytes() async throws {
        let pattern = Pattern(seed: 13)
        let source = try LoopbackServer.source(of: pattern, count: 1_000_000)
        let end = try await withEmulator(target: source.port) {
            $0.latency = .milliseconds(20)
        } _: { emulator in
            try TunnelClient.open(emulator).receiveToClose()
        }
        #expect(end.data == pattern.bytes(0..<1_000_000))
        source.stop()
    }
}

/// What a target got.
final class Received: Sendable {
    private let storage = Mutex<[UInt8]>([])

    var bytes: [UInt8] {
        get { storage.withLock { $0 } }
        set { storage.withLock { $0 = newValue } }
    }
}
