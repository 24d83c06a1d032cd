import ControlProtocol
import Glibc
import TestSupport
import Testing

/// What happens when routes change or the clock jumps, each in a place of its own.
@Suite struct DisturbanceTests {
    @Test(.enabled("no namespaces can be made here (unshare)") { try await PrivatePlace.canBeMade })
    func aChangeOfRoutesAsksEveryTunnelAndAnEndpointThatWentSilentIsLeft() async throws {
        try await Scene.onStage {
            let network = try await PrivatePlace(.network, setUp: "ip link set lo up")
            // Nobody else is in this network, so that any port is free.
            let target = try network.start("/usr/bin/nc", ["-d", "-l", "-k", "127.0.0.1", "2022"])
            defer { target.kill() }
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: 2022), wrapper: network.wrapper)
            let daemon = try await EicedDaemon.start(
                environment: emulator.environment, configuration: Scene.table(of: [:]), wrapper: network.wrapper)
            let path = daemon.directory("forward.sock")
            _ = try await daemon.add([Scene.web, "22:\(path)"])
            let client = try await onThread { try LoopbackSocket.connect(path: path) }
            try await daemon.waitForTunnels(open: 1)
            let table = try await daemon.eicectl("status").output
            #expect(table.contains(/LIVENESS/) && table.contains(/open +unknown/), "\(table)")

            try await network.run("ip address add 192.0.2.1/32 dev lo")
            try await eventually("the endpoint has answered a ping") {
                try await daemon.tunnels().first?.liveness == .alive
            }
            #expect(daemon.log.contains("the routes changed"), "\(daemon.log)")

            emulator.process.signal(SIGSTOP)
            try await network.run("ip address add 192.0.2.2/32 dev lo")
            try await eventually("the dead tunnel is closed and its slot is back") {
                let status = try await daemon.status()
                return status.tunnels.isEmpty && status.endpoints.first?.slots.inUse == 0
            }
            let failures = try await daemon.status().recentFailures
            #expect(failures.contains { $0.failure.description.contains("\(Scene.endpoint) is silent") }, "\(failures)")
            #expect(try await onThread { try client.readToEndOrReset() }.isEmpty)
        }
    }

    #if arch(x86_64)
        private static let faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
    #else
        private static let faketime = "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"
    #endif

    /// Tunnels live by a clock that nobody sets, and signatures follow the service's: a wall clock that jumps by days costs
    /// nothing.
    @Test(
        .enabled("libfaketime is not installed here (package faketime)") { access(faketime, R_OK) == 0 },
        .enabled(if: Sanitizer.isAbsent, "a sanitizer and libfaketime stand in the same functions' way"))
    func aClockThatIsSetForthAndBackByDaysLosesNothing() async throws {
        let echo = try LoopbackServer.echo()
        try await Scene.onStage {
            let directory = try TemporaryDirectory()
            let offset = try directory.write("offset", "+0\n")
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: echo.port))
            let daemon = try await EicedDaemon.start(
                environment: emulator.environment, configuration: Scene.table(of: [:]), in: directory,
                wrapper: [
                    "/usr/bin/env", "LD_PRELOAD=\(Self.faketime)", "FAKETIME_DONT_FAKE_MONOTONIC=1",
                    "FAKETIME_TIMESTAMP_FILE=\(offset)", "FAKETIME_NO_CACHE=1",
                ])
            let forward = try await daemon.add([Scene.web, "22", "--max-duration", "1h", "--idle-timeout", "30m"])
            let first = try await Scene.connect(forward)
            try await expectEcho(on: first)
            var names = [forward.name]
            for (time, name) in [("+4d", "forth"), ("-4d", "back"), ("+0", "now")] {
                try directory.write("offset", "\(time)\n")
                try await expectEcho(on: first)
                let next = try await Scene.connect(forward)
                if time == "-4d" {
                    // The endpoint's certificate is younger than that, and nobody may believe it: said, and no more.
                    #expect(try await onThread { try next.readToEndOrReset() }.isEmpty)
                    try await eventually("the log says why") {
                        daemon.log.contains("the certificate is not valid yet")
                    }
                } else {
                    try await expectEcho(on: next)
                }
                next.close()
                try await daemon.waitForTunnels(open: 1)
                names.append(try await daemon.add([Scene.web, "22", "--name", name]).name)
                #expect(try await daemon.status().uptime >= 0)
            }
            // What was saved at any of these times is there after a restart.
            daemon.process.kill()
            try await daemon.process.exit()
            let again = try await EicedDaemon.start(
                environment: emulator.environment, configuration: Scene.table(of: [:]), in: directory)
            let kept = try await again.forwards().map(\.name)
            #expect(kept.sorted() == names.sorted())
            tell(figure: "clock_jumps_forwards_kept", kept.count)
        }
    }
}
