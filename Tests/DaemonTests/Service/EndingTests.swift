import AWS
import Failures
import InstanceConnect
import Logging
import OpenSSL
import SecureSocket
import ServiceManager
import SocketIO
import Synchronization
import TestSupport
import Testing
import Transport
import Tunnels

@testable import Daemon

/// Several endings of one daemon.
@Suite struct EndingTests {
    /// Looks up until it is cancelled: a tunnel of it ends only when it is closed.
    private struct SilentRouter: InstanceConnectRouter {
        private func wait() async throws(Failure) -> Never {
            try? await Task.sleep(for: .seconds(3_600))
            throw Failure(.deadline, "cancelled")
        }

        func resolve(_ request: RouteRequest) async throws(Failure) -> Route { try await wait() }
        func prepareToSign(_ request: RouteRequest) async throws(Failure) -> TunnelSigner? { try await wait() }
        func awaited(by request: RouteRequest) -> AwaitedPart? { nil }
        func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel { try await wait() }
        func correct(
            _ refusal: Refusal, of signed: SignedTunnel, for request: RouteRequest
        ) async throws(Failure) -> Bool { false }
        func awaitLogin(_ request: RouteRequest) async throws(Failure) {}
        func forget(_ request: RouteRequest) async {}
    }

    /// A daemon's tunnels, of which there is one, and its end.
    private final class Scene {
        let tunnels: TunnelTable
        private let predecessors: Predecessors
        private var shutdown: Shutdown?
        private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        private(set) var completions = 0
        private(set) var reasons: [CloseReason] = []

        init(_ request: TunnelRequest, _ relays: RelayLoops, on loop: isolated Loop) {
            let pools = GatewayPools(limits: .init())
            var timeouts = TunnelTimeouts()
            timeouts.resolve = .seconds(3_600)
            timeouts.dial = .seconds(3_600)
            let settings = InstanceConnectSettings(
                resolver: Resolver(), tls: TLSContext(), connectTo: nil, proxies: ProxySettings { _ in nil },
                userAgent: "eiced/test")
            let transport = InstanceConnectTransport(
                router: SilentRouter(), settings: settings, logger: logger, on: loop)
            tunnels = TunnelTable(
                services: TunnelServices(
                    transports: [transport], timeouts: timeouts, relays: relays, pools: pools, logger: logger, on: loop)
            )
            predecessors = Predecessors(pools: pools, notifier: Notifier(), logger: logger)
            tunnels.onEnd = { [unowned self] in reasons.append($0.reason) }
            tunnels.open(request, local: nil, client: nil, on: loop)
        }

        func end(_ ending: Ending, on loop: isolated Loop) {
            if let shutdown { return shutdown.repeated(ending, on: loop) }
            shutdown = Shutdown(
                ending, tunnels: tunnels, predecessors: predecessors, notifier: Notifier(), logger: logger, on: loop
            ) { [unowned self] in completions += 1 }
        }

        func change(to ending: Ending, on loop: isolated Loop) { shutdown?.change(to: ending, on: loop) }
    }

    private struct Outcome: Equatable, Sendable {
        var completions: Int
        var reasons: [CloseReason]
        var tunnels: Int
    }

    private let loop: Loop
    private let relays: RelayLoops
    private let request: TunnelRequest

    init() throws {
        loop = try Loop(label: "test")
        relays = try RelayLoops(1)
        request = TunnelRequest(
            route: RouteRequest(target: try Target(parsing: "i-0123456789abcdef0"), remotePort: 22), peer: "test",
            maxDuration: .seconds(3_600))
    }

    private func onLoop<Value: Sendable>(_ body: @escaping @Sendable (isolated Loop) -> Value) async -> Value {
        await handedOver { done in loop.submit { loop in done(body(loop)) } }
    }

    /// One ending after the other, in one turn.
    private func scene(_ endings: Ending...) async -> LoopBound<Scene> {
        await onLoop { [request, relays] loop in
            let scene = Scene(request, relays, on: loop)
            for ending in endings { scene.end(ending, on: loop) }
            return LoopBound(scene, on: loop)
        }
    }

    private func outcome(_ scene: LoopBound<Scene>) async -> Outcome {
        await onLoop { loop in
            let scene = scene.get(on: loop)
            return Outcome(
                completions: scene.completions, reasons: scene.reasons, tunnels: scene.tunnels.all.count)
        }
    }

    /// Returns after what was due by now has run.
    private func passDeadlines() async {
        await handedOver { done in loop.submit { loop in _ = loop.schedule(after: .zero) { done(()) } } }
    }

    @Test("a process that drains for its successor takes a second ending over: its drain and its reason")
    func aDrainForTheSuccessorIsCutShort() async throws {
        let scene = await scene(.handedOver, .restart(drain: .zero))
        try await eventually("the end has come") { await outcome(scene).completions > 0 }
        #expect(await outcome(scene) == Outcome(completions: 1, reasons: [.restart], tunnels: 0))
    }

    @Test("the deadline of an earlier ending closes no tunnel of a later one")
    func anEarlierDeadline() async throws {
        let scene = await onLoop { [request, relays] loop in
            let scene = Scene(request, relays, on: loop)
            scene.end(.stop(drain: .zero), on: loop)
            scene.change(to: .restart(drain: .seconds(3_600)), on: loop)
            return LoopBound(scene, on: loop)
        }
        await passDeadlines()
        await onLoop { loop in scene.get(on: loop).change(to: .restart(drain: .zero), on: loop) }
        try await eventually("the end has come") { await outcome(scene).completions > 0 }
        #expect(await outcome(scene) == Outcome(completions: 1, reasons: [.restart], tunnels: 0))
    }

    @Test(
        "a second ending during a drain ends at once",
        arguments: [
            (Ending.stop(drain: .seconds(3_600)), Ending.stop(drain: .seconds(3_600))),
            (.restart(drain: .seconds(3_600)), .stop(drain: .seconds(3_600))),
            (.stop(drain: .seconds(3_600)), .restart(drain: .seconds(3_600))),
        ])
    func aSecondEnding(first: Ending, second: Ending) async throws {
        let scene = await scene(first)
        await passDeadlines()
        #expect(await outcome(scene) == Outcome(completions: 0, reasons: [], tunnels: 1))
        await onLoop { loop in scene.get(on: loop).end(second, on: loop) }
        #expect(await outcome(scene).completions == 1)
    }

    @Test("a third ending ends a drain at once that the second one began for a process that hands over")
    func aThirdEnding() async throws {
        let scene = await scene(.handedOver, .stop(drain: .seconds(3_600)))
        await passDeadlines()
        #expect(await outcome(scene) == Outcome(completions: 0, reasons: [], tunnels: 1))
        await onLoop { loop in scene.get(on: loop).end(.stop(drain: .seconds(3_600)), on: loop) }
        #expect(await outcome(scene).completions == 1)
    }

    @Test("nothing new is accepted once a daemon ends")
    func nothingNew() async throws {
        let scene = await scene(.stop(drain: .seconds(3_600)))
        await passDeadlines()
        #expect(await onLoop { loop in scene.get(on: loop).tunnels.acceptsNew } == false)
    }

    @Test("a daemon without tunnels ends by itself")
    func noTunnels() async throws {
        let scene = await scene()
        await onLoop { loop in
            for tunnel in scene.get(on: loop).tunnels.all { tunnel.close(.clientLeft) }
        }
        try await eventually("no tunnel is left") { await outcome(scene).tunnels == 0 }
        await onLoop { loop in scene.get(on: loop).end(.stop(drain: .seconds(3_600)), on: loop) }
        try await eventually("the end has come") { await outcome(scene).completions == 1 }
    }

    @Test("each ending has its drain, its word and its reason")
    func endings() {
        #expect(Ending.stop(drain: .seconds(3)).drain == .seconds(3))
        #expect(Ending.restart(drain: .seconds(4)).drain == .seconds(4))
        // No tunnel lives for more than an hour.
        #expect(Ending.handedOver.drain >= .seconds(3_600))
        #expect(Ending.stop(drain: .zero).reason == .shutdown && Ending.handedOver.reason == .shutdown)
        #expect(Ending.restart(drain: .zero).reason == .restart)
    }
}
