import Failures
import InstanceConnect
import SocketIO
import Synchronization
import TestSupport
import Testing
import Transport

@testable import Tunnels

/// What pools and tables count and report.
@Suite struct PoolAccountTests {
    private static func pool(_ pools: GatewayPools, _ id: String = "one") -> GatewayPool {
        pools.pool(Gateway(transport: "t", id: id, region: "r"), host: "\(id).test")
    }

    @Test("waits, turned-away connections and refusals of the service are counted apart")
    func totals() async throws {
        let loop = try Loop(label: "test")
        let totals = await Bench.run(on: loop) { loop in
            var limits = GatewayPools.Limits()
            limits.defaultCap = 2
            limits.queueLength = 1
            let pools = GatewayPools(limits: limits)
            let pool = Self.pool(pools)
            var counts: [[Int]] = []
            func note() {
                counts.append([pool.totals.waited, pool.totals.turnedAway, pool.totals.refusedAsFull])
            }
            let first = pool.request(priority: .normal, key: "a", on: loop) { _ in }
            _ = pool.request(priority: .normal, key: "a", on: loop) { _ in }
            note()
            _ = pool.request(priority: .normal, key: "a", on: loop) { _ in }
            note()
            _ = pool.request(priority: .normal, key: "a", on: loop) { _ in }
            note()
            _ = pool.requestWarm(key: "a", on: loop) { _ in }
            note()
            pool.refusedAsFull(first, on: loop) { _ in }
            note()
            return counts
        }
        #expect(totals == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 1]])
    }

    @Test("a pool that fills up is reported once, and again after its queue was empty")
    func fillsUp() async throws {
        let loop = try Loop(label: "test")
        let reports = await Bench.run(on: loop) { loop in
            var limits = GatewayPools.Limits()
            limits.defaultCap = 1
            let pools = GatewayPools(limits: limits)
            let pool = Self.pool(pools)
            var (reports, counts) = (0, [Int]())
            pools.onFull = { _ in reports += 1 }
            var tickets: [Ticket] = []
            func ask(on loop: isolated Loop) {
                tickets.append(pool.request(priority: .normal, key: "a", on: loop) { _ in })
                counts.append(reports)
            }
            for _ in 0..<3 { ask(on: loop) }
            for ticket in tickets.dropLast() { pool.release(ticket, on: loop) }
            ask(on: loop)
            ask(on: loop)
            return counts
        }
        #expect(reports == [0, 1, 1, 2, 2])
    }

    @Test("the use of slots is reported when it changes, and only then")
    func use() async throws {
        let loop = try Loop(label: "test")
        let reports = await Bench.run(on: loop) { loop in
            var limits = GatewayPools.Limits()
            limits.defaultCap = 1
            let pools = GatewayPools(limits: limits)
            var (reports, counts) = (0, [Int]())
            pools.onUse = { reports += 1 }
            let pool = Self.pool(pools)
            let first = pool.request(priority: .normal, key: "a", on: loop) { _ in }
            counts.append(reports)
            let second = pool.request(priority: .normal, key: "a", on: loop) { _ in }
            counts.append(reports)
            pool.release(first, on: loop)
            counts.append(reports)
            pool.release(second, on: loop)
            counts.append(reports)
            return counts
        }
        // One slot goes from hand to hand in the third step.
        #expect(reports == [1, 1, 1, 2])
    }

    @Test("an endpoint has at least one slot, and its own cap comes before the default one")
    func caps() {
        var limits = GatewayPools.Limits()
        #expect(limits.cap(for: "any") == 20)
        limits.caps = ["none": 0, "few": 3]
        limits.defaultCap = 0
        #expect(limits.cap(for: "none") == 1)
        #expect(limits.cap(for: "few") == 3)
        #expect(limits.cap(for: "any") == 1)
    }

    @Test("changed limits reach every pool, and slots of other processes those alone that are named")
    func changedLimits() async throws {
        let loop = try Loop(label: "test")
        let (caps, taken, names) = await Bench.run(on: loop) { loop in
            let pools = GatewayPools(limits: GatewayPools.Limits())
            for id in ["b", "a"] { _ = Self.pool(pools, id) }
            var limits = GatewayPools.Limits()
            limits.defaultCap = 7
            limits.caps = ["b": 4]
            pools.apply(limits, on: loop)
            let caps = pools.all.map(\.cap)
            var taken: [[Int]] = []
            let keys = ["a", "b", "c"].map { Gateway(transport: "t", id: $0, region: "r") }
            pools.setTaken([keys[0]: (3, "a.test"), keys[2]: (1, "c.test")], on: loop)
            taken.append(pools.all.map(\.taken))
            pools.setTaken([keys[1]: (2, "b.test")], on: loop)
            taken.append(pools.all.map(\.taken))
            return (caps, taken, pools.all.map(\.gateway.id))
        }
        #expect(caps == [7, 4])
        #expect(taken == [[3, 0, 1], [0, 2, 0]])
        #expect(names == ["a", "b", "c"])
    }

    @Test("the full queue's refusal says what is in use, other processes' slots included")
    func refusal() async throws {
        let loop = try Loop(label: "test")
        let failure = Box<Failure>()
        await Bench.run(on: loop) { loop in
            var limits = GatewayPools.Limits()
            limits.defaultCap = 3
            limits.queueLength = 1
            let pools = GatewayPools(limits: limits)
            let pool = Self.pool(pools)
            pools.setTaken([pool.gateway: (2, "one.test")], on: loop)
            for _ in 0..<3 {
                _ = pool.request(priority: .normal, key: "a", on: loop) { result in
                    if case .failure(let why) = result { failure.value = why }
                }
            }
        }
        await Bench.run(on: loop) { _ in }
        #expect(failure.value?.kind == .endpointFull)
        #expect(failure.value?.why == "3 of 3 slots are in use and 1 connections wait already")
    }

    // MARK: Tunnels

    @Test("the last twenty failed tunnels are remembered, the oldest first")
    func failures() async throws {
        let router = ScriptedRouter(.init(resolveFailure: Failure(.unknownTarget, "there is no such instance")))
        let bench = try await Bench(ScriptedEndpoint.echo(), router: router)
        for count in 1...25 {
            _ = try await bench.connect()
            _ = try await bench.ends(count)
        }
        let ids = await bench.onControl { tables, _ in tables.tunnels.failures.map(\.handle.id) }
        #expect(ids == Array(6...25))
    }

    @Test("a descriptor is kept free for each tunnel that has no connection yet")
    func descriptorReserve() async throws {
        let bench = try await Bench(ScriptedEndpoint.echo(), slots: 1)
        func reserve() async -> Int { await bench.onControl { tables, _ in tables.tunnels.descriptorReserve } }
        #expect(await reserve() == 17)
        let port = try await bench.forward()
        var clients: [LoopbackSocket] = []
        for number in 0..<4 {
            clients.append(try await onThread { try LoopbackSocket.connect(port: port) })
            try await bench.waitForSlots(.init(inUse: 1, queued: number))
        }
        try await eventually("the first one is open") {
            await bench.handles().contains { $0.snapshot.state == .open }
        }
        #expect(await reserve() == 20)
        clients[3].close()
        _ = try await bench.ends(1)
        #expect(await reserve() == 19)
        for client in clients { client.close() }
        _ = try await bench.ends(4)
        #expect(await reserve() == 17)
    }

    @Test("a warm tunnel that failed is not tried again before the next connection")
    func failedWarmTunnel() async throws {
        let requests = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let number = requests.withLock { requests in
                requests += 1
                return requests
            }
            guard number == 1 else {
                try connection.sendRaw(Array("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".utf8))
                return try connection.sendCloseNotify()
            }
            try connection.accept(request)
            try connection.send("SSH-2.0-test\r\n")
            try connection.echo()
        }
        let bench = try await Bench(endpoint)
        var specification = try Bench.specification()
        specification.warm = 1
        let address = try #require(try await bench.add(specification).first)
        let client = try await onThread { try LoopbackSocket.connect(port: address.port) }
        #expect(try await bench.end().failure?.kind == .accessDenied)
        #expect(await bench.states() == [.open])
        #expect(bench.ends.count == 1 && requests.withLock { $0 } == 2)
        client.close()
    }

    @Test("a failed endpoint gives way to the next one, and is passed over by the next connection")
    func alternatives() async throws {
        let requests = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let number = requests.withLock { requests in
                requests += 1
                return requests
            }
            if number == 1 { return try connection.sendCloseNotify() }
            try connection.accept(request)
            try connection.echo()
        }
        var script = ScriptedRouter.Script()
        script.alternatives = [Endpoint(id: "eice-4567", dnsName: TestCertificates.name, nearness: .sameZone)]
        let bench = try await Bench(endpoint, router: ScriptedRouter(script))
        let port = try await bench.forward()
        var clients: [LoopbackSocket] = []
        for count in 1...2 {
            clients.append(try await onThread { try LoopbackSocket.connect(port: port) })
            try await bench.waitForStates(.init(repeating: .open, count: count))
        }
        let pools = await bench.onControl { tables, _ in
            tables.pools.all.map { ($0.gateway.id, $0.inUse, $0.isCoolingDown(at: .now)) }
        }
        #expect(pools.map(\.0) == ["eice-0123", "eice-4567"])
        #expect(pools.map(\.1) == [0, 2])
        #expect(pools.map(\.2) == [true, false])
        #expect(await bench.handles().map(\.snapshot.route?.path.gateway.id) == ["eice-4567", "eice-4567"])
        for client in clients { client.close() }
        #expect(try await bench.ends(2).allSatisfy { $0 == .localClosed })
    }

    @Test("where all endpoints failed lately, a tunnel tries each of them once")
    func allCoolingDown() async throws {
        let requests = Mutex(0)
        let endpoint = try ScriptedEndpoint { connection in
            try connection.handshake()
            let request = try connection.request()
            let number = requests.withLock { requests in
                requests += 1
                return requests
            }
            // Both endpoints fail the first tunnel, and the first one fails the second tunnel.
            if number <= 3 { return try connection.sendCloseNotify() }
            try connection.accept(request)
            try connection.echo()
        }
        var script = ScriptedRouter.Script()
        script.alternatives = [Endpoint(id: "eice-4567", dnsName: TestCertificates.name, nearness: .sameZone)]
        let bench = try await Bench(endpoint, router: ScriptedRouter(script))
        let port = try await bench.forward()
        let first = try await onThread { try LoopbackSocket.connect(port: port) }
        #expect(try await bench.end().failure != nil)
        let second = try await onThread { try LoopbackSocket.connect(port: port) }
        try await bench.waitForStates([.open])
        #expect(await bench.handles().map(\.snapshot.route?.path.gateway.id) == ["eice-4567"])
        #expect(requests.withLock { $0 } == 4)
        first.close()
        second.close()
    }
}
