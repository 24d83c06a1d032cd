import ControlProtocol
import Glibc
import SocketIO
import TestSupport
import Testing

/// What local programs do with their end of a tunnel: leave, reset, stop reading, half-close.
@Suite struct LocalClientTests {
    @Test func oneThatConnectsAndLeavesAtOnceGivesItsSlotBack() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let forward = try await scene.add()
            for _ in 0..<20 { try await Scene.connect(forward).close() }
            try await scene.daemon.waitForTunnels(open: 0)
            try await eventually("all slots are free") {
                try await scene.daemon.status().endpoints.allSatisfy { $0.slots.inUse == 0 }
            }
            try await expectEcho(scene, through: forward)
        }
    }

    @Test func oneThatLeavesWhileItIsDialedEndsThere() async throws {
        let echo = try LoopbackServer.echo()
        let hang = ["--fault", "stall-upgrade"]
        try await Scene.play(port: echo.port, emulator: hang, timeouts: ["upgrade": "60s", "dial": "60s"]) { scene in
            let forward = try await scene.add()
            let client = try await Scene.connect(forward)
            try await onThread { try client.write("bytes that nobody will get") }
            try await eventually("it is dialed") {
                try await scene.daemon.tunnels().contains { $0.state == .dialing }
            }
            client.close()
            try await scene.daemon.waitForTunnels(open: 0)
            try await eventually("the log has the reason") { scene.daemon.log.contains("client left") }
            #expect(echo.acceptedCount == 0)
        }
    }

    @Test func aResetEndsTheTunnelAtOnce() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port, timeouts: ["drain": "60s"]) { scene in
            let forward = try await scene.add()
            let client = try await Scene.connect(forward)
            let answer = try await onThread {
                try client.write("ping")
                return try client.readText()
            }
            #expect(answer == "ping")
            client.reset()
            try await scene.daemon.waitForTunnels(open: 0)
            try await eventually("the target's connection is over") { echo.openCount == 0 }
        }
    }

    @Test("a client that closes is told apart from one that half-closes", arguments: ["TCP", "Unix"])
    func oneThatClosesIsToldApartFromOneThatHalfCloses(kind: String) async throws {
        // The target is silent until the test lets it speak, so that only the end itself can tell.
        let speaks = try FileDescriptor.socketPair()
        let target = try LoopbackServer { connection in
            var waiting = pollfd(fd: speaks.0.raw, events: Int16(POLLIN), revents: 0)
            poll(&waiting, 1, -1)
            try connection.write("late")
            connection.shutdownWrite()
            while try !connection.read().isEmpty {}
        }
        defer { speaks.1.close() }
        try await Scene.play(port: target.port, timeouts: ["drain": "600s"]) { scene in
            let path = scene.daemon.directory("web.sock")
            let forward =
                kind == "TCP" ? try await scene.add() : try await scene.daemon.add([Scene.web, "22:\(path)"])
            func connect() async throws -> LoopbackSocket {
                kind == "TCP" ? try await Scene.connect(forward) : try LoopbackSocket.connect(path: path)
            }
            let halfClosed = try await connect()
            try await scene.daemon.waitForTunnels(open: 1)
            halfClosed.shutdownWrite()
            let closed = try await connect()
            try await scene.daemon.waitForTunnels(open: 2)
            closed.close()
            // The other one ended its side before, and is still there.
            try await scene.daemon.waitForTunnels(open: 1)
            speaks.1.close()
            #expect(try await onThread { try halfClosed.readToEnd() } == Array("late".utf8))
            halfClosed.close()
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test(arguments: ["TCP", "Unix"]) func whatATargetSendsAfterTheLocalEndOfFileArrivesWhole(kind: String) async throws
    {
        let pattern = Pattern(seed: 5)
        let count = 5_000_000
        // It begins when it has been asked, and the asker has then ended its side.
        let target = try LoopbackServer { connection in
            _ = try connection.read(exactly: 4)
            try pattern.send(count, on: connection)
            connection.shutdownWrite()
            while try !connection.read().isEmpty {}
        }
        try await Scene.play(port: target.port, timeouts: ["drain": "10s"]) { scene in
            let path = scene.daemon.directory("web.sock")
            let forward =
                kind == "TCP" ? try await scene.add() : try await scene.daemon.add([Scene.web, "22:\(path)"])
            let port = kind == "TCP" ? try forward.port : 0
            let got = try await onThread {
                let socket =
                    kind == "TCP" ? try LoopbackSocket.connect(port: port) : try LoopbackSocket.connect(path: path)
                try socket.write("send")
                socket.shutdownWrite()
                return try pattern.verify(from: socket)
            }
            #expect(got == count, "\(scene.daemon.log)")
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test func aHalfClosedTunnelEndsWhenTheRemoteIsSilentForTheDrain() async throws {
        let silent = try LoopbackServer.silent()
        try await Scene.play(port: silent.port, timeouts: ["drain": "500ms"]) { scene in
            let client = try await Scene.connect(try await scene.add())
            try await scene.daemon.waitForTunnels(open: 1)
            client.shutdownWrite()
            #expect(try await onThread { try client.readToEnd() }.isEmpty)
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test func whatTheLocalSideSentBeforeItsEndArrivesOnceAndWhole() async throws {
        let pattern = Pattern(seed: 9)
        let count = 3_000_001
        let report = Report<Int>()
        let target = try LoopbackServer { connection in report.add(try pattern.verify(from: connection)) }
        try await Scene.play(port: target.port) { scene in
            // One that is gone before its tunnel is open is dropped.
            let socket = try await Scene.connect(try await scene.add())
            try await scene.daemon.waitForTunnels(open: 1)
            try await onThread {
                try pattern.send(count, on: socket)
                socket.close()
            }
            try await eventually("the target has it all") { !report.all.isEmpty }
            #expect(report.all == [count], "neither lost nor doubled")
        }
    }

    @Test func theTargetsEndReachesTheLocalSideAfterItsLastByte() async throws {
        let pattern = Pattern(seed: 11)
        let target = try LoopbackServer { connection in
            try pattern.send(1_000_003, on: connection)
        }
        try await Scene.play(port: target.port) { scene in
            let port = try await scene.add().port
            let got = try await onThread { try pattern.verify(from: LoopbackSocket.connect(port: port)) }
            #expect(got == 1_000_003)
        }
    }

    @Test func aReaderThatStopsHoldsUpItsSenderAndLosesNothing() async throws {
        let pattern = Pattern(seed: 13)
        let count = 64 << 20
        let target = try LoopbackServer.source(of: pattern, count: count)
        try await Scene.play(port: target.port) { scene in
            let forward = try await scene.add()
            let socket = try await Scene.connect(forward, receiveBuffer: 1 << 16)
            try await scene.daemon.waitForTunnels(open: 1)
            // Until nothing moves any more: all buffers between are full.
            var last: UInt64 = .max
            try await eventually("the tunnel stands still") {
                let now = try await scene.daemon.tunnels().first?.bytesRemoteToLocal ?? 0
                defer { last = now }
                return now == last && now > 0
            }
            #expect(last < UInt64(count))
            // KiB: what one stopped reader may cost.
            if Sanitizer.isAbsent { #expect(try #require(scene.daemon.process.facts.residentSetSize) < 64 << 10) }
            let got = try await onThread { try pattern.verify(from: socket) }
            #expect(got == count)
        }
    }
}
