import ControlProtocol
import TestSupport
import Testing

/// A resolver that has gone silent, in a place of its own.
@Suite struct ResolverGoneTests {
    /// A resolver that answers nothing holds a look-up for as long as resolv.conf says. It costs whoever waits for it no more than
    /// the deadline of the dial, and nobody else anything.
    @Test(.enabled("no namespaces can be made here (unshare)") { try await PrivatePlace.canBeMade })
    func aResolverThatIsGoneCostsADialItsDeadlineAndNobodyElseAnything() async throws {
        try await Scene.onStage {
            let folder = try TemporaryDirectory()
            try folder.write("hosts", "127.0.0.1 gateway.test\n")
            try folder.write("resolv.conf", "nameserver 127.0.0.53\noptions timeout:2 attempts:1\n")
            try folder.write("nsswitch.conf", "hosts: files dns\n")
            let place = try await PrivatePlace(
                .network, .mounts,
                setUp: """
                    ip link set lo up
                    for file in hosts resolv.conf nsswitch.conf; do
                        touch /etc/$file
                        mount --bind \(folder.path)/$file /etc/$file
                    done
                    """)
            let inside = place.wrapper
            // Takes questions, and says nothing.
            let resolver = try ChildProcess(
                inside[0], inside.dropFirst() + ["/usr/bin/nc", "-d", "-u", "-l", "-k", "127.0.0.53", "53"],
                diesWithParent: true)
            let target = try ChildProcess(
                inside[0], inside.dropFirst() + ["/usr/bin/nc", "-d", "-l", "-k", "127.0.0.1", "2022"],
                diesWithParent: true)
            defer { for process in [resolver, target] { process.kill() } }
            let emulator = try await Emulator.start(inventory: Scene.inventory(port: 2022), wrapper: inside)
            var environment = emulator.environment
            environment["EICED_CONNECT_TO"] = "gateway.test:\(try emulator.port(in: "EICED_CONNECT_TO"))"
            let daemon = try await EicedDaemon.start(
                environment: environment, configuration: Scene.table(of: ["connect": "1s"]), wrapper: inside)
            let path = daemon.directory("forward.sock")
            _ = try await daemon.add([Scene.web, "22:\(path)"])
            let bystander = try await onThread { try LoopbackSocket.connect(path: path) }
            try await daemon.waitForTunnels(open: 1)

            // Away; and what is known of names is forgotten, as after any change of routes.
            try folder.write("hosts", "")
            try await place.run("ip address add 192.0.2.1/32 dev lo")
            try await eventually("the daemon has noticed") { daemon.log.contains("the routes changed") }
            let began = ContinuousClock.now
            let proxy = try await daemon.eicectl("proxy", Scene.web, "22", "--stdio")
            #expect(proxy.code == 75 && proxy.errors.contains("cannot resolve gateway.test"), "\(proxy)")
            let length = began.duration(to: .now)
            #expect(length < .seconds(10) * Patience.factor, "\(proxy)")
            tell(figure: "resolver_gone_dial_ended_after_ms", Int(length / .milliseconds(1)))
            let client = try await onThread { try LoopbackSocket.connect(path: path) }
            #expect(try await onThread { try client.readToEndOrReset() }.isEmpty)
            let open = try await daemon.tunnels()
            #expect(open.count == 1 && open.first?.state == .open, "\(open)")

            // Back. Who comes while a look-up still hangs waits for that one.
            try folder.write("hosts", "127.0.0.1 gateway.test\n")
            try await eventually("a dial is served again") {
                let next = try await onThread { try LoopbackSocket.connect(path: path) }
                defer { next.close() }
                try await eventually("it is decided") {
                    try await daemon.tunnels().allSatisfy { $0.state == .open }
                }
                return try await daemon.tunnels().count == 2
            }
            bystander.close()
        }
    }
}
