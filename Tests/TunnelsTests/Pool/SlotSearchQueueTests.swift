import Failures
import SocketIO
import Testing
import Transport

@testable import Tunnels

/// A search that waits in several queues. The pools are real, and the dials are the test's.
@Suite struct SlotSearchQueueTests {
    private enum Name: String, CaseIterable { case near, far }

    private enum Step {
        /// Another connection asks the endpoint alone.
        case ask(Name)
        /// The search begins.
        case begin
        case release(Name)
        case cancel
        /// The dial of the tunnel that has the slot came through.
        case accept(Name)
        case fail(Name)
        /// A slot is granted, and the search is cancelled before it hears of that.
        case releaseAndCancel(Name)
    }

    /// What became of the search, and how the endpoints stand, the near one first.
    private struct Outcome: Equatable, Sendable {
        var reports: [String]
        var queued: [Int]
        var inUse: [Int]
        var coolingDown: [Bool]
    }

    /// Two endpoints with one slot each, which are taken.
    private final class Scene {
        private let pools: GatewayPools
        private let paths: [Path]
        private var holders: [Name: Ticket] = [:]
        private var search: SlotSearch?
        private var reports: [String] = []

        init(queueLength: Int, on loop: isolated Loop) {
            var limits = GatewayPools.Limits()
            limits.defaultCap = 1
            limits.queueLength = queueLength
            pools = GatewayPools(limits: limits)
            paths = Name.allCases.map { name in
                Path(gateway: Gateway(transport: "t", id: name.rawValue, region: "r"), nearness: .sameZone)
            }
            for name in Name.allCases { holders[name] = ask(name, on: loop) }
        }

        private func pool(_ name: Name) -> GatewayPool {
            pools.pool(Gateway(transport: "t", id: name.rawValue, region: "r"), host: "\(name.rawValue).test")
        }

        @discardableResult
        private func ask(_ name: Name, on loop: isolated Loop) -> Ticket {
            pool(name).request(priority: .normal, key: "other", on: loop) { _ in }
        }

        private func begin(on loop: isolated Loop) {
            search = SlotSearch(
                paths, priority: .normal, key: "ours", pools: pools, on: loop
            ) { [weak self] result in
                switch result {
                case .success(let slot): self?.reports.append(slot.path.gateway.id)
                case .failure(let failure): self?.reports.append(failure.what)
                }
            }
        }

        func play(_ step: Step, on loop: isolated Loop) {
            switch step {
            case .ask(let name): ask(name, on: loop)
            case .begin: begin(on: loop)
            case .release(let name): release(name, on: loop)
            case .cancel: search?.cancel()
            case .accept(let name):
                if let ticket = holders[name] { pool(name).accepted(ticket, on: loop) }
            case .fail(let name): pool(name).failed(Failure(.cannotConnect, "no"))
            case .releaseAndCancel(let name):
                release(name, on: loop)
                search?.cancel()
            }
        }

        private func release(_ name: Name, on loop: isolated Loop) {
            if let ticket = holders[name] { pool(name).release(ticket, on: loop) }
        }

        var outcome: Outcome {
            let all = Name.allCases.map { pool($0) }
            return Outcome(
                reports: reports, queued: all.map(\.queued), inUse: all.map(\.inUse),
                coolingDown: all.map { $0.isCoolingDown(at: .now) })
        }
    }

    /// Each step comes when the pools have reported all that the one before it decided.
    private func play(queueLength: Int = 5, _ steps: [Step]) async throws -> Outcome {
        let loop = try Loop(label: "test")
        let scene = await Bench.run(on: loop) { loop in
            LoopBound(Scene(queueLength: queueLength, on: loop), on: loop)
        }
        await Bench.run(on: loop) { _ in }
        for step in steps {
            await Bench.run(on: loop) { loop in scene.get(on: loop).play(step, on: loop) }
            await Bench.run(on: loop) { _ in }
        }
        return await Bench.run(on: loop) { loop in scene.get(on: loop).outcome }
    }

    @Test("a full queue of one endpoint leaves the connection in the queue of the other")
    func oneFullQueue() async throws {
        let waiting = try await play(queueLength: 1, [.ask(.near), .begin])
        #expect(waiting.reports == [] && waiting.queued == [1, 1])
        let served = try await play(queueLength: 1, [.ask(.near), .begin, .release(.far)])
        #expect(served.reports == ["far"] && served.queued == [1, 0])
    }

    @Test("the full queue may be the one of the second endpoint")
    func otherFullQueue() async throws {
        let served = try await play(queueLength: 1, [.ask(.far), .begin, .release(.near)])
        #expect(served.reports == ["near"] && served.queued == [0, 1])
    }

    @Test("full queues of all endpoints refuse the connection once")
    func allQueuesFull() async throws {
        let refused = try await play(queueLength: 1, [.ask(.near), .ask(.far), .begin])
        #expect(refused.reports == ["far is full"] && refused.queued == [1, 1])
    }

    @Test("a slot of one endpoint ends the wait for the others")
    func oneSlotEndsTheSearch() async throws {
        let served = try await play([.begin, .release(.far), .release(.near)])
        #expect(served.reports == ["far"] && served.queued == [0, 0] && served.inUse == [0, 1])
    }

    @Test("a cancelled search leaves every queue and reports nothing")
    func cancelled() async throws {
        let cancelled = try await play([.begin, .cancel, .release(.near)])
        #expect(cancelled.reports == [] && cancelled.queued == [0, 0] && cancelled.inUse == [0, 1])
    }

    @Test("a slot that was granted to a cancelled search is free again")
    func grantedAndCancelled() async throws {
        let cancelled = try await play([.begin, .releaseAndCancel(.near)])
        #expect(cancelled.reports == [] && cancelled.queued == [0, 0] && cancelled.inUse == [0, 1])
    }

    @Test("an endpoint that failed is passed over while another one works")
    func coolingDownIsPassedOver() async throws {
        let waiting = try await play([.fail(.near), .begin])
        #expect(waiting.coolingDown == [true, false])
        #expect(waiting.reports == [] && waiting.queued == [0, 1])
        let free = try await play([.fail(.near), .release(.near), .release(.far), .begin])
        #expect(free.reports == ["far"] && free.queued == [0, 0])
    }

    @Test("endpoints that all failed are tried all the same")
    func allCoolDown() async throws {
        let waiting = try await play([.fail(.near), .fail(.far), .begin])
        #expect(waiting.reports == [] && waiting.queued == [1, 1])
    }

    @Test("an accepted tunnel ends the cool-down of its endpoint")
    func successEndsACoolDown() async throws {
        #expect(try await play([.fail(.near), .accept(.near)]).coolingDown == [false, false])
    }
}
