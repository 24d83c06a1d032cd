import SocketIO
import Synchronization
import TestSupport
import Testing
import Transport

@testable import Tunnels

@Suite struct ForgottenEndpointTests {
    private final class Clock: Sendable {
        private let start = ContinuousClock.now
        private let hours = Atomic(0)

        func advance(_ count: Int) { hours.add(count, ordering: .relaxed) }
        @Sendable func now() -> ContinuousClock.Instant { start + .seconds(hours.load(ordering: .relaxed) * 3_600) }
    }

    @Test("an endpoint that nobody has used for a day leaves status and metrics, one with an open tunnel stays")
    func endpoints() async throws {
        let loop = try Loop(label: "test")
        func onLoop<Value: Sendable>(_ body: @escaping @Sendable (isolated Loop) -> Value) async -> Value {
            await handedOver { done in loop.submit { loop in done(body(loop)) } }
        }
        let clock = Clock()
        let bound = await onLoop { loop in LoopBound(GatewayPools(limits: .init(), now: clock.now), on: loop) }
        func ids() async -> [String] { await onLoop { bound.get(on: $0).all.map(\.gateway.id) } }
        let busy = Gateway(transport: "t", id: "eice-busy", region: "r")
        let ticket = await onLoop { loop in
            let pools = bound.get(on: loop)
            _ = pools.pool(Gateway(transport: "t", id: "eice-idle", region: "r"), host: "idle.test")
            let pool = pools.pool(busy, host: "busy.test")
            return pool.request(priority: .normal, key: "a", on: loop) { _ in }
        }
        clock.advance(23)
        #expect(await ids() == ["eice-busy", "eice-idle"])
        clock.advance(2)
        #expect(await ids() == ["eice-busy"])
        await onLoop { loop in bound.get(on: loop).existing(busy)?.release(ticket, on: loop) }
        clock.advance(25)
        #expect(await ids().isEmpty)
    }
}
