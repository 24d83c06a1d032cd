import Failures
import SocketIO
import Testing
import Transport

@testable import Tunnels

/// Several endpoints: the pools are real, the dials are the test's.
@Suite struct SlotSearchTests {
    private static func path(_ id: String) -> Path {
        Path(gateway: Gateway(transport: "t", id: id, region: "r"), nearness: .sameZone)
    }

    /// Who got which endpoint, in order.
    private final class Record {
        var granted: [String] = []
        var slots: [String: SlotSearch.Slot] = [:]
        var searches: [SlotSearch] = []

        func got(_ name: String, _ result: Result<SlotSearch.Slot, Failure>) {
            guard case .success(let slot) = result else { return granted.append("\(name): none") }
            granted.append("\(name): \(slot.path.gateway.id)")
            slots[name] = slot
        }
    }

    private struct Scene {
        let pools: GatewayPools
        let record = Record()
        let near = SlotSearchTests.path("near")
        let far = SlotSearchTests.path("far")

        init(near: Int, far: Int) {
            var limits = GatewayPools.Limits()
            limits.caps = ["near": near, "far": far]
            pools = GatewayPools(limits: limits)
        }

        func play(_ step: Step, on loop: isolated Loop) {
            switch step {
            case .search(let names): for name in names { search(name, on: loop) }
            case .accept(let names):
                for slot in names.compactMap({ record.slots[$0] }) { slot.pool.accepted(slot.ticket, on: loop) }
            case .refuse(let name): refuse(name, on: loop)
            case .release(let name):
                if let slot = record.slots[name] { slot.pool.release(slot.ticket, on: loop) }
            }
        }

        func search(_ name: String, on loop: isolated Loop) {
            let record = record
            record.searches.append(
                SlotSearch(
                    [near, far], priority: .normal, key: name, pools: pools, on: loop
                ) { record.got(name, $0) })
        }

        func refuse(_ name: String, on loop: isolated Loop) {
            guard let slot = record.slots.removeValue(forKey: name) else { return }
            let record = record
            record.searches.append(
                SlotSearch(
                    returning: slot.ticket, to: slot.pool, slot.path,
                    or: [near, far].filter { $0.gateway != slot.path.gateway }, priority: .normal, key: name,
                    pools: pools,
                    on: loop
                ) { record.got(name, $0) })
        }
    }

    private enum Step: Sendable {
        case search([String])
        case accept([String])
        case refuse(String)
        case release(String)
    }

    /// Each step comes when all that the one before it decided has been told.
    private func play(near: Int, far: Int, _ steps: [Step]) async throws -> [String] {
        let loop = try Loop(label: "test")
        let scene = await Bench.run(on: loop) { loop in LoopBound(Scene(near: near, far: far), on: loop) }
        for step in steps {
            await Bench.run(on: loop) { loop in scene.get(on: loop).play(step, on: loop) }
            await Bench.run(on: loop) { _ in }
        }
        return await Bench.run(on: loop) { loop in scene.get(on: loop).record.granted }
    }

    @Test func whoIsRefusedWhereAllAreFullKeepsHisTurn() async throws {
        // The service has room for one less than we thought; "d" waits since before that was known.
        let granted = try await play(
            near: 2, far: 1,
            [.search(["a", "b", "c", "d"]), .accept(["a", "c"]), .refuse("b"), .release("a")])
        #expect(granted == ["a: near", "b: near", "c: far", "b: near"])
    }

    @Test func whoIsRefusedGoesWhereThereIsRoom() async throws {
        let granted = try await play(near: 2, far: 1, [.search(["a"]), .refuse("a")])
        #expect(granted == ["a: near", "a: far"])
    }

    @Test func whoKeepsHisTurnAlsoTakesWhatComesFreeElsewhere() async throws {
        let granted = try await play(
            near: 2, far: 1, [.search(["a", "b", "c"]), .accept(["a", "c"]), .refuse("b"), .release("c")])
        #expect(granted == ["a: near", "b: near", "c: far", "b: far"])
    }
}
