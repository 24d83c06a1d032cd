import FoundationEssentials
import Synchronization
import TestSupport
import Testing
import WebSocket

import class EICEEmulator.Emulator

@testable import EICEEmulator

@Suite struct AdministrationTests {
    private func ask(_ port: UInt16, _ method: String, _ path: String, _ body: String = "", extra: String = "")
        throws -> (status: Int, body: String)
    {
        let socket = try LoopbackSocket.connect(port: port)
        try socket.write(
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(extra)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        let text = String(decoding: try socket.readToEnd(), as: UTF8.self)
        let parts = text.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
        return (Int(text.dropFirst(9).prefix(3)) ?? 0, parts.count > 1 ? String(parts[1]) : "")
    }

    @Test func faultsCanBeAddedAndCleared() async throws {
        let echo = try LoopbackServer.echo()
        try await withEmulator(target: echo.port) { emulator in
            let port = emulator.adminPort
            #expect(
                try ask(port, "POST", "/fault", #"{"kind":"refuse","status":429,"body":"slow down"}"#).status == 204)
            #expect(try ask(port, "GET", "/faults").body.contains("slow down"))
            let client = try TunnelClient(emulator)
            try client.handshake()
            #expect(try client.upgrade(TunnelClient.target(emulator)).body == "slow down")
            let wrong = try ask(port, "POST", "/fault", #"{"kind":"nonsense"}"#)
            #expect(wrong.status == 400 && wrong.body.contains("kind"))
            #expect(try ask(port, "POST", "/fault", #"{"kind":"drop","times":0}"#).status == 204)
            #expect(try ask(port, "DELETE", "/faults").status == 204)
            #expect(emulator.state.faults.isEmpty)
        }
        echo.stop()
    }

    @Test func theFiguresAreThere() async throws {
        let echo = try LoopbackServer.echo()
        try await withEmulator(target: echo.port) { emulator in
            let client = try TunnelClient.open(emulator)
            try client.send([1, 2, 3])
            _ = try client.receive(3)
            let body = try ask(emulator.adminPort, "GET", "/stats").body
            let figures = try JSONDecoder().decode(EmulatorState.Statistics.self, from: Data(body.utf8))
            #expect(figures.tunnelsOpen == 1 && figures.tunnelsTotal == 1 && figures.connectionsOpen == 1)
            #expect(figures.endpoints[TunnelClient.endpoint] == .init(open: 1, peak: 1, limit: 20))
            withExtendedLifetime(client) {}
        }
        echo.stop()
    }

    @Test func allTunnelsCanBeClosed() async throws {
        let echo = try LoopbackServer.echo()
        try await withEmulator(target: echo.port) { emulator in
            let clients = try (0..<3).map { _ in try TunnelClient.open(emulator) }
            #expect(try ask(emulator.adminPort, "POST", "/close", #"{"code":1012,"reason":"restart"}"#).status == 204)
            for client in clients {
                #expect(
                    try client.receiveToClose().close == CloseFrame(code: .init(rawValue: 1_012), reason: "restart"))
            }
        }
        echo.stop()
    }

    @Test func theInventoryCanBeReplaced() async throws {
        let echo = try LoopbackServer.echo()
        try await withEmulator(target: 1) { emulator in
            let json = Inventory.example.replacing("127.0.0.1:2022", with: "127.0.0.1:\(echo.port)")
            #expect(try ask(emulator.adminPort, "PUT", "/inventory", json).status == 204)
            let client = try TunnelClient.open(emulator)
            try client.send([9])
            #expect(try client.receive(1) == [9])
            #expect(try ask(emulator.adminPort, "PUT", "/inventory", "{").status == 400)
            let shown = try ask(emulator.adminPort, "GET", "/inventory").body
            #expect(try Inventory.parse(Array(shown.utf8), name: "shown") == emulator.state.inventory)
        }
        echo.stop()
    }

    @Test func browsersAndUnknownPathsAreRefused() async throws {
        try await withEmulator { emulator in
            let fromBrowser = try ask(emulator.adminPort, "GET", "/stats", extra: "Origin: https://x.example\r\n")
            #expect(fromBrowser.status == 403)
            #expect(try ask(emulator.adminPort, "GET", "/").status == 404)
        }
    }

    @Test func theAPIKeepsAConnectionForSeveralRequests() async throws {
        try await withEmulator { emulator in
            let socket = try LoopbackSocket.connect(port: emulator.apiPort)
            let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\nAction=DescribeInstances"
            try socket.write(request + request)
            var text = ""
            while text.split(separator: "MissingAuthenticationToken").count < 3 { text += try socket.readText() }
            #expect(text.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
            try socket.write("rubbish\r\n\r\n")
            #expect(String(decoding: try socket.readToEnd(), as: UTF8.self).hasPrefix("HTTP/1.1 400 "))
        }
    }
}
