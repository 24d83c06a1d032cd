import SocketIO
import TestSupport
import Testing

@testable import Tunnels

/// TLS handshakes that are done on other threads, since there are several.
@Suite struct HandshakesTests {
    @Test func oneAloneIsDoneAtOnceAndOfSeveralEachIsDoneElsewhere() {
        let handshakes = Handshakes()
        let first = handshakes.begin()
        #expect(first.threads == nil)
        do {
            let second = handshakes.begin()
            #expect(first.threads != nil && second.threads === first.threads)
        }
        #expect(first.threads == nil)
    }

    @Test func aCrowdIsOpenedWhole() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint)
        let port = try await bench.forward()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<16 {
                group.addTask {
                    try await onThread {
                        let client = try LoopbackSocket.connect(port: port)
                        try client.write("hello \(number)!")
                        let expected = "hello \(number)!"
                        #expect(
                            String(decoding: try client.read(exactly: expected.utf8.count), as: UTF8.self) == expected)
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
    @Test func aCrowdThatLeavesDuringItsHandshakesLeavesNothingBehind() async throws {
        let endpoint = try ScriptedEndpoint.echo()
        let bench = try await Bench(endpoint)
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

    @Test func aCrowdThatIsRefusedIsToldWhy() async throws {
        let bench = try await Bench(
            ScriptedEndpoint { connection in try connection.socket.write("HTTP/1.1 400 Bad\r\n\r\n") })
        var clients: [WaitingClient] = []
        for _ in 0..<8 { clients.append(try await bench.connect().1) }
        for reason in try await bench.ends(8) { #expect(reason.failure?.kind == .tls, "\(reason)") }
        try await bench.waitForSlots(.init())
        #expect(await bench.lentBuffers() == 0)
        withExtendedLifetime(clients) {}
    }
}
