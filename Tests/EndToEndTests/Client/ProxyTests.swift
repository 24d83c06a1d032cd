import ControlProtocol
import TestSupport
import Testing

/// `eicectl proxy`, as ssh and scripts run it.
@Suite struct ProxyTests {
    @Test func itExitsSoonAfterItsInputAndOutputHaveGoneAndUsesNoProcessorBefore() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            var best = Duration.seconds(60)
            for _ in 0..<5 {
                let (reader, writer) = try makePipe()
                let proxy = try scene.daemon.startEicectl(
                    ["proxy", Scene.web, "22"], input: .pipe, output: .descriptor(writer))
                writer.close()
                try await scene.daemon.waitForTunnels(open: 1)

                // At rest: the time it has used does not grow while it waits.
                let before = try #require(proxy.facts.processorTime)
                try await letPass(.milliseconds(500))
                #expect(try #require(proxy.facts.processorTime) - before == .zero)

                // ssh goes away: both ends of its pipes are closed.
                let instant = ContinuousClock.now
                proxy.input?.close()
                reader.close()
                try await proxy.exit()
                best = min(best, try #require(proxy.exitInstant) - instant)
                try await scene.daemon.waitForTunnels(open: 0)
            }
            // The best of five: what else runs on the machine may delay any one of them.
            #expect(best < .milliseconds(100) * Patience.factor)
        }
    }

    @Test func itNoticesThatItsOutputHasGoneWithoutWriting() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port, timeouts: ["drain": "60s"]) { scene in
            let (reader, writer) = try makePipe()
            let proxy = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22"], input: .pipe, output: .descriptor(writer))
            writer.close()
            try await scene.daemon.waitForTunnels(open: 1)
            // Its input stays open, and the target sends nothing more.
            reader.close()
            try await proxy.exit()
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test func aPipeCarriesEverythingBothWays() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port, timeouts: ["drain": "2s"]) { scene in
            let folder = scene.daemon.directory
            let command = """
                head -c 20000000 /dev/urandom > \(folder("in")) &&
                '\(BuiltProducts.eicectl)' proxy \(Scene.web) 22 < \(folder("in")) > \(folder("out")) &&
                tail -c +15 \(folder("out")) | cmp - \(folder("in"))
                """
            let result = try await ChildProcess.run(
                "/bin/sh", ["-c", command], environment: scene.daemon.environment)
            #expect(result.code == 0, "\(result)")
        }
    }

    @Test func theDescriptorIsPassedWithOneByteOnceTheTargetHasSpoken() async throws {
        let banner = "SSH-2.0-test\r\n"
        let target = try LoopbackServer { connection in
            try connection.write(banner)
            while true {
                let bytes = try connection.read()
                if bytes.isEmpty { return }
                try connection.write(bytes)
            }
        }
        try await Scene.play(port: target.port) { scene in
            // ssh's side of ProxyUseFdpass: one socket is the command's input and output. Other programs than ssh get bytes, so
            // the option says that this one takes a descriptor.
            let (mine, theirs) = try makeSocketPair()
            let proxy = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22", "--pass-fd"], input: .descriptor(theirs), output: .descriptor(theirs))
            theirs.close()
            let (bytes, passed) = try await onThread { try mine.receiveDescriptors() }
            #expect(bytes == 1)
            #expect(passed.count == 1)
            #expect(try await proxy.exit() == .code(0), "\(proxy.standardError)")

            let tunnel = LoopbackSocket(takingOwnership: try #require(passed.first).take())
            let answers = try await onThread {
                let first = try tunnel.read(exactly: banner.utf8.count)
                try tunnel.write("ping")
                return first + (try tunnel.read(exactly: 4))
            }
            #expect(String(decoding: answers, as: UTF8.self) == banner + "ping", "the banner is not swallowed")
            tunnel.close()
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    /// What the small program cannot read is read by the other one, which gets the descriptor.
    @Test func itSaysWhatItWaitsForAndHandsOverAllTheSame() async throws {
        let greeter = try LoopbackServer.greeter()
        let limit = "[endpoints.\"\(Scene.endpoint)\"]\nmax_connections = 1\n"
        try await Scene.play(port: greeter.port, configuration: limit) { scene in
            let first = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22", "--stdio"], input: .pipe)
            try await scene.daemon.waitForTunnels(open: 1)
            let (mine, theirs) = try makeSocketPair()
            let second = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22", "--pass-fd"], input: .descriptor(theirs), output: .descriptor(theirs))
            theirs.close()
            try await eventually("it is told that it waits") {
                second.standardError.hasPrefix("eicectl: waiting: all slots are taken")
            }
            #expect(second.exit == nil)
            first.input?.close()
            try await first.exit()
            let (bytes, passed) = try await onThread { try mine.receiveDescriptors() }
            #expect(bytes == 1 && passed.count == 1)
            #expect(try await second.exit() == .code(0), "\(second.standardError)")
            let tunnel = LoopbackSocket(takingOwnership: try #require(passed.first).take())
            #expect(try await onThread { try tunnel.read(exactly: 4) } == Array("SSH-".utf8))
            tunnel.close()
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    @Test func aTargetThatSaysNothingIsNotHandedOverAndIsGivenUpWithItsClient() async throws {
        let silent = try LoopbackServer.silent()
        try await Scene.play(port: silent.port) { scene in
            let (mine, theirs) = try makeSocketPair()
            let proxy = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22"], input: .descriptor(theirs), output: .descriptor(theirs))
            theirs.close()
            try await eventually("the target is connected") { silent.openCount == 1 }
            #expect(proxy.exit == nil)
            mine.close()
            try await proxy.exit()
            try await scene.daemon.waitForTunnels(open: 0)
        }
    }

    // MARK: How it ends

    @Test func aTunnelThatWasCutSaysWhyAndIsNoSuccess() async throws {
        let greeter = try LoopbackServer.greeter()
        try await Scene.play(port: greeter.port) { scene in
            let limited = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22", "--stdio", "--max-duration", "1s"], input: .pipe)
            #expect(try await limited.exit() == .code(75))
            #expect(
                limited.standardError.contains("the tunnel to \(Scene.web) port 22 was cut: max duration reached (1s)"),
                "\(limited.standardError)")

            let closed = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22", "--stdio"], input: .pipe)
            try await scene.daemon.waitForTunnels(open: 1)
            let id = try #require(try await scene.daemon.status().tunnels.first?.id)
            #expect(try await scene.daemon.eicectl("close", id).code == 0)
            #expect(try await closed.exit() == .code(75))
            #expect(closed.standardError.contains("was cut: "), "\(closed.standardError)")

            let orphan = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22", "--stdio"], input: .pipe)
            try await scene.daemon.waitForTunnels(open: 1)
            #expect(try await scene.daemon.eicectl("shutdown", "--drain", "0s").code == 0)
            #expect(try await orphan.exit() == .code(75))
            #expect(orphan.standardError.contains("was cut: "), "\(orphan.standardError)")
        }
    }

    @Test func aTargetThatClosesIsNoFailure() async throws {
        let target = try LoopbackServer { try $0.write("SSH-2.0-bye\r\n") }
        try await Scene.play(port: target.port) { scene in
            let proxy = try scene.daemon.startEicectl(
                ["proxy", Scene.web, "22", "--stdio"], input: .pipe)
            #expect(try await proxy.exit() == .code(0))
            #expect(proxy.standardError.isEmpty, "\(proxy.standardError)")
        }
    }
}
