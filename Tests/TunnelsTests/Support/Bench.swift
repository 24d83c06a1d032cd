import AWS
import Basics
import Failures
import Logging
import OpenSSL
import SecureSocket
import SocketIO
import Synchronization
import TestSupport
import Transport

@testable import InstanceConnect
@testable import Tunnels

/// Everything of the data path on real loops, with a scripted endpoint and a router that knows one target.
final class Bench: Sendable {
    struct Tables {
        let tunnels: TunnelTable
        let forwards: ForwardTable
        let pools: GatewayPools
        let transport: InstanceConnectTransport
    }

    let control: Loop
    let relays: RelayLoops
    let router: ScriptedRouter
    private let tables: LoopBound<Tables>
    private let recorded = Mutex<[EndedTunnel]>([])
    private let folder: TemporaryDirectory
    /// It stops when the last reference goes.
    private let endpoint: ScriptedEndpoint

    init(
        _ endpoint: ScriptedEndpoint, timeouts: TunnelTimeouts = .patient, phases: DialTimeouts = .patient,
        slots: Int = 20,
        relays relayCount: Int = 2, spares: Int = 0, spareTimeToLive: Duration = SpareSettings().timeToLive,
        proxy: String? = nil, handshakes: Int? = nil, pace: Pace.Limits = Pace.Limits(),
        patience: Duration = PoolStateMachine.patience, router: ScriptedRouter = ScriptedRouter(),
        fake: (nature: FakeTransport.Nature, port: UInt16)? = nil
    ) async throws {
        guard let authority = TestCertificates.authority else { throw TestFailure("no authority") }
        self.endpoint = endpoint
        folder = try TemporaryDirectory()
        let roots = try folder.write("ca.pem", authority.certificate)
        control = try Loop(label: "test.control")
        relays = try RelayLoops(relayCount)
        self.router = router
        let (tls, relays) = (try TLSContext(trustingFile: roots), relays)
        let port = endpoint.port
        let proxies = ProxySettings { $0 == "https_proxy" ? proxy : nil }
        tables = await Self.run(on: control) { loop in
            var limits = GatewayPools.Limits()
            limits.defaultCap = slots
            limits.patience = patience
            let pools = GatewayPools(limits: limits)
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            var settings = InstanceConnectSettings(
                resolver: Resolver(), tls: tls, connectTo: HostAndPort(host: "127.0.0.1", port: port),
                proxies: proxies, userAgent: "eiced/test")
            settings.timeouts = phases
            // Each connection that an endpoint of the test sees is one that the test asked for.
            settings.spares.count = spares
            settings.spares.timeToLive = spareTimeToLive
            let transport = InstanceConnectTransport(
                router: router, settings: settings,
                handshakes: handshakes.map { Handshakes(cores: 1, stepsPerCore: $0) } ?? Handshakes(), logger: logger,
                on: loop)
            var services = TunnelServices(
                transports: fake.map { [FakeTransport($0.nature, port: $0.port, on: loop)] } ?? [transport],
                timeouts: timeouts, relays: relays, pools: pools, logger: logger, on: loop)
            services.pace = pace
            let tunnels = TunnelTable(services: services)
            return LoopBound(
                Tables(
                    tunnels: tunnels, forwards: ForwardTable(tunnels: tunnels, logger: logger), pools: pools,
                    transport: transport),
                on: loop)
        }
        await onControl { [weak self] tables, _ in
            let forwards = tables.forwards
            tables.tunnels.onEnd = { [weak forwards] end in
                forwards?.note(end)
                self?.recorded.withLock { $0.append(end) }
            }
        }
    }

    deinit {
        let tables = tables
        // A listener keeps its loop.
        control.submit { loop in tables.get(on: loop).forwards.closeListeners(on: loop) }
    }

    // MARK: Doing

    static func run<T: Sendable>(on loop: Loop, _ body: @escaping @Sendable (isolated Loop) -> T) async -> T {
        await handedOver { done in loop.submit { loop in done(body(loop)) } }
    }

    @discardableResult
    func onControl<T: Sendable>(_ body: @escaping @Sendable (Tables, isolated Loop) -> T) async -> T {
        let tables = tables
        return await Self.run(on: control) { loop in body(tables.get(on: loop), loop) }
    }

    static func specification(
        _ name: String = "web", local: ForwardSpecification.Local = .port(0), maxDuration: Duration = .seconds(3_600),
        idleTimeout: Duration? = nil
    ) throws -> ForwardSpecification {
        ForwardSpecification(
            name: name, route: try ScriptedRouter.request(), local: local, maxDuration: maxDuration,
            idleTimeout: idleTimeout)
    }

    /// Adds a forward and returns where it listens.
    @discardableResult
    func add(_ specification: ForwardSpecification) async throws -> [SocketAddress] {
        try await onControl { tables, loop -> Result<[SocketAddress], Failure> in
            do throws(Failure) {
                let reservation = try tables.forwards.reserve([specification])
                return .success(tables.forwards.commit(reservation, on: loop).flatMap(\.addresses))
            } catch {
                return .failure(error)
            }
        }.get()
    }

    /// Adds a forward on a port of its own and returns the port.
    func forward(maxDuration: Duration = .seconds(3_600), idleTimeout: Duration? = nil) async throws -> UInt16 {
        let specification = try Self.specification(maxDuration: maxDuration, idleTimeout: idleTimeout)
        guard let address = try await add(specification).first else { throw TestFailure("no address") }
        return address.port
    }

    /// Begins a tunnel for a client that waits for it.
    func connect(
        waitsForTarget: Bool = true, priority: TunnelPriority = .normal
    ) async throws -> (TunnelHandle, WaitingClient) {
        let route = try ScriptedRouter.request()
        let client = WaitingClient()
        let handle = await onControl { tables, loop in
            var request = TunnelRequest(
                route: route, peer: "test", maxDuration: .seconds(3_600), waitsForTarget: waitsForTarget)
            request.priority = priority
            return tables.tunnels.open(request, local: nil, client: client, on: loop)
        }
        return (handle, client)
    }

    // MARK: Seeing

    var ends: [EndedTunnel] { recorded.withLock { $0 } }

    /// The ends in the order they came, once there are `count`.
    func ends(_ count: Int) async throws -> [CloseReason] {
        try await eventually("\(count) tunnels have ended") { self.ends.count >= count }
        return ends.map(\.reason)
    }

    /// The reason of the only tunnel there was.
    func end() async throws -> CloseReason { try await ends(1)[0] }

    struct Slots: Equatable, Sendable {
        var inUse = 0
        var queued = 0
    }

    func slots() async -> Slots {
        await onControl { tables, _ in
            tables.pools.all.first.map { Slots(inUse: $0.inUse, queued: $0.queued) } ?? Slots()
        }
    }

    func spareCount() async -> Int {
        await onControl { tables, loop in
            tables.pools.all.first.flatMap { tables.tunnels.reserve(of: $0, on: loop)?.ready } ?? 0
        }
    }

    func states() async -> [TunnelHandle.State] {
        await onControl { tables, _ in tables.tunnels.all.map(\.snapshot.state) }
    }

    func handles() async -> [TunnelHandle] { await onControl { tables, _ in tables.tunnels.all } }

    /// The only tunnel there is, once it is open.
    func openTunnel() async throws -> TunnelHandle {
        try await waitForStates([.open])
        guard let handle = await handles().first else { throw TestFailure("no tunnel") }
        return handle
    }

    /// Looks at a tunnel on the loop that it lives on at present.
    func visit<Value: Sendable>(
        _ handle: TunnelHandle, _ body: @escaping @Sendable (Tunnel, isolated Loop) -> Value
    ) async throws -> Value {
        try await eventually("\(handle.name) is on a loop") {
            for loop in [control] + relays.all {
                let value = await Self.run(on: loop) { loop -> Value? in
                    guard let tunnel = handle.tunnel(on: loop) else { return nil }
                    return body(tunnel, loop)
                }
                if let value { return value }
            }
            return nil
        }
    }

    func waitForStates(_ states: [TunnelHandle.State]) async throws {
        try await eventually("the tunnels are \(states)") { await self.states() == states }
    }

    func waitForSlots(_ slots: Slots) async throws {
        try await eventually("the pool has \(slots)") { await self.slots() == slots }
    }

    /// Buffers that are out, over all loops.
    func lentBuffers() async -> Int {
        var sum = 0
        for loop in [control] + relays.all { sum += await Self.run(on: loop) { $0.buffers.lent } }
        return sum
    }
}

/// Knows the target i-0123456789abcdef0 and signs with made-up keys. Each step can be held up or made to fail.
final class ScriptedRouter: InstanceConnectRouter {
    struct Script {
        var resolveFailure: Failure?
        var signFailure: Failure?
        /// Neither comes back before it is cancelled.
        var holdsResolve = false
        var holdsSign = false
        /// Whether signing needs no waiting.
        var signsAtOnce = false
        var forgotten = 0
        /// Whether a refused signature is put right, or why not.
        var correction: Result<Bool, Failure> = .success(false)
        /// Other endpoints that lead to the target, by the same connection.
        var alternatives: [Endpoint] = []
        var signatures = 0
        var resolutions = 0
        /// Signatures that a tunnel had to wait for.
        var awaitedSignatures = 0
        /// Trust roots of dials; nil for the bench's own.
        var trust: TLSContext?
    }

    private let script: Mutex<Script>

    init(_ script: Script = Script()) { self.script = Mutex(script) }

    var forgotten: Int { script.withLock(\.forgotten) }
    /// How many requests were signed.
    var signatures: Int { script.withLock(\.signatures) }

    /// How often a target was looked up.
    var resolutions: Int { script.withLock(\.resolutions) }

    /// How many requests a tunnel waited to have signed.
    var awaitedSignatures: Int { script.withLock(\.awaitedSignatures) }

    static func request() throws -> RouteRequest {
        RouteRequest(target: try Target(parsing: "i-0123456789abcdef0"), remotePort: 22)
    }

    private static func path(_ endpoint: Endpoint) -> Path { Path(through: endpoint, region: "eu-west-1") }

    func resolve(_ request: RouteRequest) async throws(Failure) -> Route {
        let script = script.withLock {
            $0.resolutions += 1
            return $0
        }
        if script.holdsResolve { await Self.hold() }
        if let failure = script.resolveFailure { throw failure }
        return Route(
            target: request.target, remotePort: request.remotePort, instanceID: "i-0123456789abcdef0",
            address: "10.0.1.5", region: "eu-west-1", profile: nil,
            path: Self.path(Endpoint(id: "eice-0123", dnsName: TestCertificates.name, nearness: .sameSubnet)),
            alternatives: script.alternatives.map(Self.path))
    }

    func prepareToSign(_ request: RouteRequest) async throws(Failure) -> TunnelSigner? {
        guard script.withLock(\.signsAtOnce) else { return nil }
        return { route, maxDuration in self.signature(route, maxDuration) }
    }

    func trust(_ request: RouteRequest) async throws(Failure) -> TLSContext? { script.withLock(\.trust) }

    /// Dials from now on trust these roots; nil for the bench's own.
    func trust(_ roots: TLSContext?) { script.withLock { $0.trust = roots } }

    func awaited(by request: RouteRequest) -> AwaitedPart? {
        script.withLock { $0.holdsResolve ? AwaitedPart(name: "the script", isHelper: false) : nil }
    }

    func sign(_ route: Route, maxDuration: Int) async throws(Failure) -> SignedTunnel {
        let script = script.withLock {
            $0.awaitedSignatures += 1
            return $0
        }
        if script.holdsSign { await Self.hold() }
        if let failure = script.signFailure { throw failure }
        return signature(route, maxDuration)
    }

    private func signature(_ route: Route, _ maxDuration: Int) -> SignedTunnel {
        script.withLock { $0.signatures += 1 }
        let credentials = Credentials(accessKeyID: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "secret")
        let url = OpenTunnelURL(route: route, maxDuration: maxDuration, credentials: credentials, at: .now())
        return SignedTunnel(url: url, credentials: credentials)
    }

    func correct(
        _ refusal: Refusal, of signed: SignedTunnel, for request: RouteRequest
    ) async throws(Failure) -> Bool { try script.withLock { $0.correction }.get() }

    func awaitLogin(_ request: RouteRequest) async throws(Failure) { await Self.hold() }

    func forget(_ request: RouteRequest) async { script.withLock { $0.forgotten += 1 } }

    private static func hold() async {
        // Ends when the tunnel cancels its task.
        try? await Task.sleep(for: .seconds(3_600))
    }
}

/// A client that gets one end of a socket pair when its tunnel is open.
final class WaitingClient: TunnelClient, Sendable {
    private struct State {
        var opened = false
        var failure: CloseReason?
        var far: FileDescriptor?
    }

    private let state = Mutex(State())

    func tunnelOpened(_ handle: TunnelHandle, on loop: isolated Loop) -> LocalStream? {
        guard let (near, far) = try? FileDescriptor.socketPair() else { return nil }
        state.withLock { state in
            state.opened = true
            state.far = far
        }
        return LocalStream(near, received: Array("early ".utf8), greeting: Array("hello\n".utf8))
    }

    func tunnelFailed(_ reason: CloseReason, on loop: isolated Loop) { state.withLock { $0.failure = reason } }

    var opened: Bool { state.withLock(\.opened) }

    /// The client's end, once.
    func socket() async throws -> LoopbackSocket {
        let far = try await eventually("the tunnel is open", value: { state.withLock { $0.far } })
        return LoopbackSocket(takingOwnership: far.take())
    }

    func failure() async throws -> CloseReason {
        try await eventually("the tunnel failed", value: { state.withLock { $0.failure } })
    }
}
