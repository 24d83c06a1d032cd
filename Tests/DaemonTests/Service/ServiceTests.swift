import AWS
import Failures
import Glibc
import SocketIO
import Synchronization
import TestSupport
import Testing

@testable import Daemon

@Suite struct CrashLoopTests {
    @Test func aFewEndsCostNothing() {
        #expect(CrashLoop.hold(after: []) == .zero)
        #expect(CrashLoop.hold(after: [.seconds(1), .seconds(1), .seconds(1)]) == .zero)
    }

    @Test(arguments: [(4, 0.5), (5, 1), (6, 2), (9, 16), (10, 30), (63, 30)])
    func whatKeepsDyingWaitsLongerAndLongerAndNotForEver(count: Int, seconds: Double) {
        let ages = (0..<count).map { Duration.seconds($0) }
        #expect(CrashLoop.hold(after: ages) == .seconds(seconds))
    }

    @Test func whatIsLongAgoIsForgotten() {
        let old = (0..<20).map { CrashLoop.window + .seconds($0) }
        #expect(CrashLoop.hold(after: old + [.seconds(1)]) == .zero)
        // The clock counts from the machine's start, so nothing can lie in the future; if it does it counts for nothing.
        #expect(CrashLoop.hold(after: (1...20).map { .seconds(-$0) }) == .zero)
    }
}

@Suite struct ServiceStatusTests {
    typealias Figures = ServiceStatus.Figures

    @Test func theLineIsShort() {
        #expect(Figures().line == "0 forwards, 0 tunnels")
        #expect(
            Figures(forwards: 1, notListening: 1, tunnels: 2, slots: 2, cap: 40, note: "held").line
                == "1 forward (1 not listening), 2 tunnels, 2 of 40 slots, held")
    }
}

@Suite struct WatchdogTests {
    private final class Count: Sendable {
        let value = Atomic(0)
    }

    @Test func itIsFedAsLongAsEveryLoopAnswers() async throws {
        let control = try Loop(label: "control")
        let relays = [try Loop(label: "relay 0"), try Loop(label: "relay 1")]
        let fed = Count()
        let kept = await Kept.make(relays, on: control) { fed.value.add(1, ordering: .relaxed) }
        try await eventually("it was fed three times") { fed.value.load(ordering: .relaxed) >= 3 }

        // One of three that hangs is enough.
        let gate = try makePipe()
        relays[1].submit { _ in
            var byte: UInt8 = 0
            _ = read(gate.read.raw, &byte, 1)
        }
        // Questions that were asked before the loop hung may still be answered.
        var last = 0
        try await eventually("it is no longer fed") {
            last = fed.value.load(ordering: .relaxed)
            try await letPass(.milliseconds(300))
            return fed.value.load(ordering: .relaxed) == last
        }

        gate.write.close()
        try await eventually("it is fed again") { fed.value.load(ordering: .relaxed) > last }
        await kept.stop(on: control)
    }

    /// The watchdog, kept on its loop.
    private struct Kept: Sendable {
        let bound: LoopBound<Watchdog>

        static func make(
            _ relays: [Loop], on loop: isolated Loop, feed: @escaping @Sendable () -> Void
        ) -> Kept {
            Kept(
                bound: LoopBound(
                    Watchdog(interval: .milliseconds(40), relays: relays, on: loop, feed: feed), on: loop))
        }

        func stop(on loop: isolated Loop) { bound.get(on: loop).stop(on: loop) }
    }
}

@Suite struct VisibleUsersTests {
    private func allowing(_ users: Set<UInt32>) -> Configuration {
        var configuration = Configuration()
        var forward = Configuration.Forward()
        forward.allowUsers = users
        configuration.forwards = ["web": forward]
        return configuration
    }

    @Test func everybodyIsSeenWithoutANamespaceOfOnesOwn() throws {
        let users = VisibleUsers(map: "         0          0 4294967295\n")
        #expect(users.contains(0) && users.contains(4_000_000_000))
        try users.check(allowing([0, 1_001]), sandbox: nil)
    }

    @Test func insideTheSandboxOnlyOneselfIs() throws {
        let users = VisibleUsers(map: "      1000       1000          1\n")
        #expect(users.contains(1_000) && !users.contains(1_001) && !users.contains(0))
        try users.check(allowing([1_000]), sandbox: nil)
        let sandbox = Sandbox(Environment(["EICED_SANDBOX": "eiced.service.d/sandbox.conf"]))
        let failure = #expect(throws: Failure.self) { try users.check(self.allowing([1_001]), sandbox: sandbox) }
        #expect(failure?.kind == .configuration)
        #expect(
            failure?.why.contains("1001") == true && failure?.hint?.contains("eiced.service.d/sandbox.conf") == true)
    }
}

/// What `eiced --check` knows of the sandbox that the service will be in.
@Suite struct InstalledSandboxTests {
    private let configuration: Configuration = {
        var configuration = Configuration()
        var forward = Configuration.Forward()
        forward.local = .path("/tmp/web.sock")
        configuration.forwards = ["web": forward]
        configuration.defaults.allowUsers = [1_000, 1_001]
        return configuration
    }()

    private func kinds(_ folders: TemporaryDirectory) -> [Failure.Kind] {
        InstalledSandbox(folders: [folders("own"), folders("usr")]).objections(to: configuration, of: 1_000).map(\.kind)
    }

    @Test func whatTheServiceWouldRefuseIsSaidWhereItsDropInIsInForce() throws {
        let folders = try TemporaryDirectory()
        try folders.makeDirectory("usr")
        try folders.makeDirectory("usr/eiced.service.d")
        try folders.write("usr/eiced.service.d/sandbox.conf", "[Service]\n")
        #expect(kinds(folders) == [], "there is no service")
        try folders.write("usr/eiced.service", "[Service]\n")
        #expect(kinds(folders) == [.configuration, .cannotListen])

        try folders.makeDirectory("own")
        try folders.makeDirectory("own/eiced.service.d")
        #expect(symlink("/dev/null", folders("own/eiced.service.d/sandbox.conf")) == 0)
        #expect(kinds(folders) == [], "it is masked")
    }
}

@Suite struct KeptNamesTests {
    @Test func onlyWhatChangedIsTold() {
        var names = KeptNames()
        #expect(names.changes(to: ["f.a.4": 1, "f.a.6": 2]) == ([], ["f.a.4", "f.a.6"]))
        #expect(names.changes(to: ["f.a.4": 1, "f.a.6": 2]) == ([], []))
        // Renamed; and exchanged, which has to leave both names first.
        #expect(names.changes(to: ["f.b.4": 1, "f.a.6": 2]) == (["f.a.4"], ["f.b.4"]))
        #expect(names.changes(to: ["f.b.4": 2, "f.a.6": 1]) == (["f.a.6", "f.b.4"], ["f.a.6", "f.b.4"]))
        #expect(names.changes(to: [:]) == (["f.a.6", "f.b.4"], []))
    }

    @Test func whatWasPassedIsKnownToBeKept() {
        var names = KeptNames()
        names.note("f.a.4", 7)
        names.note("f.a.6", 8)
        #expect(names.changes(to: ["f.a.4": 7]) == (["f.a.6"], []))
    }
}
