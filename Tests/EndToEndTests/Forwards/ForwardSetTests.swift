import ControlProtocol
import TestSupport
import Testing

/// A forward is changed in place: what is open goes on, what comes is as it is now.
@Suite struct ForwardSetTests {
    private func echoes(_ socket: LoopbackSocket, _ text: String) async throws -> Bool {
        try await onThread {
            try socket.write(text)
            return try socket.read(exactly: text.utf8.count) == Array(text.utf8)
        }
    }

    @Test func aForwardIsRenamedAndMovedUnderAnOpenTunnel() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let old = try await scene.add(Scene.web, "--name", "web")
            let socket = try await Scene.connect(old)
            #expect(try await echoes(socket, "before"))

            let changed = try await scene.daemon.json(
                ForwardListResult.self, ["set", "web", "--name", "bastion", "--local", "0", "--idle-timeout", "10m"])
            let new = try #require(changed.forwards.first)
            #expect(new.name == "bastion" && new.idleTimeout == 600)
            #expect(try new.port != old.port)

            #expect(try await echoes(socket, "after"))
            #expect(try await scene.daemon.tunnels().map(\.forward) == ["bastion"])
            #expect(try await scene.daemon.forwards().map(\.tunnels) == [1])
            let second = try await Scene.connect(new)
            #expect(try await echoes(second, "second"))
            await #expect(throws: (any Error).self) { _ = try await Scene.connect(old) }
            #expect(try await scene.daemon.eicectl("tunnels", "web").code == 68)

            // Both belong to it, whatever it was called when they began.
            #expect(try await scene.daemon.eicectl("rm", "bastion").code == 0)
            try await eventually("its tunnels are closed") { try await scene.daemon.tunnels().isEmpty }
        }
    }

    @Test func aChangeThatFailsChangesNothing() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let web = try await scene.add(Scene.web, "--name", "web")
            let other = try await scene.add(Scene.web, "--name", "other")
            for (words, code) in [
                (["--name", "other", "--local", "0"], Int32(65)),
                (["--local", "\(try other.port)", "--name", "x"], 73),
                (["--target", Scene.stopped, "--name", "x", "--local", "0"], 68), (["--bind", "0.0.0.0"], 64),
                (["--name", "a b"], 65),
            ] {
                let result = try await scene.daemon.startEicectl(["set", "web"] + words).result(of: "set")
                #expect(result.code == code, "\(words): \(result)")
                #expect(try await scene.daemon.forwards() == [other, web])
            }
            #expect(try await scene.daemon.eicectl("set", "nobody", "--name", "x").code == 68)
            #expect(try await echoes(try await Scene.connect(web), "still there"))
        }
    }

    @Test func aForwardMovesFromBothLoopbackAddressesToOneAndBack() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.play(port: echo.port) { scene in
            let web = try await scene.add(Scene.web, "--name", "web")
            let port = try web.port
            #expect(try await scene.daemon.eicectl("set", "web", "--bind", "127.0.0.1").code == 0)
            #expect(try await scene.daemon.forwards().first?.addresses == ["127.0.0.1:\(port)"])
            #expect(try await echoes(try await Scene.connect(web), "one"))
            #expect(try await scene.daemon.eicectl("set", "web", "--unset", "bind").code == 0)
            #expect(try await scene.daemon.forwards() == [web])
            #expect(try await echoes(try await Scene.connect(web), "both"))
            // All addresses of a port and one of them exclude each other, but for the moment of this change.
            for address in ["0.0.0.0", "127.0.0.1", "::", "::1"] {
                let moved = try await scene.daemon.eicectl("set", "web", "--bind", address, "--allow-remote")
                #expect(moved.code == 0, "\(moved)")
                let place = address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
                #expect(try await scene.daemon.forwards().first?.addresses == [place])
                let family: LoopbackSocket.Family = address.contains(":") ? .ipv6 : .ipv4
                let client = try await onThread { try LoopbackSocket.connect(port: port, family: family) }
                #expect(try await echoes(client, address))
            }
            let path = scene.daemon.directory("web.sock")
            #expect(try await scene.daemon.eicectl("set", "web", "--local", path).code == 0)
            #expect(try await echoes(try LoopbackSocket.connect(path: path), "a socket"))
        }
    }

    @Test func anEphemeralForwardCanBeKept() async throws {
        try await Scene.alone { daemon in
            let web = try await daemon.add(["10.0.0.1", "22", "--name", "web", "--ephemeral"] + pinnedEndpoint)
            #expect(try StateFile.read(in: daemon.directory) == nil)
            #expect(try await daemon.eicectl("set", "web", "--no-ephemeral").code == 0)
            daemon.process.kill()
            try await daemon.process.exit()
            let next = try await EicedDaemon.start(in: daemon.directory)
            #expect(try await next.forwards().map(\.addresses) == [web.addresses])
            #expect(try await next.eicectl("set", "web", "--ephemeral").code == 0)
            #expect(try StateFile.read(in: daemon.directory)?.names == [])
            #expect(try await next.forwards().map(\.name) == ["web"])
        }
    }
}
