import TestSupport
import Testing

@testable import Tunnels

/// Tunnels whose TLS handshakes are done on other threads, since there are several.
@Suite struct CrowdTests {
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
